//! A study on a real cluster of this machine, which loses a node and its controller on the way.
//! Started by `cargo xtask cluster-test slurm` or `... ray`; skipped by name otherwise, since both
//! need packages that are large.

#[path = "clusters/faults.rs"]
mod faults;
#[path = "clusters/ray.rs"]
mod ray;
#[path = "clusters/slurm.rs"]
mod slurm;

/// Names the cluster to test on.
const VARIABLE: &str = "MNAS_TEST_CLUSTER";

fn wanted(name: &str, test: &str) -> bool {
    let wanted = std::env::var(VARIABLE).is_ok_and(|v| v == name);
    if !wanted {
        println!("skipped: {test} (run `cargo xtask cluster-test {name}`)");
    }
    wanted
}

#[test]
fn slurm_loses_a_node_and_the_controller_and_no_trial() {
    if wanted(
        "slurm",
        "slurm_loses_a_node_and_the_controller_and_no_trial",
    ) {
        let mut cluster = slurm::Slurm::start();
        faults::check(&mut cluster);
    }
}

#[test]
fn ray_loses_a_node_and_the_controller_and_no_trial() {
    if wanted("ray", "ray_loses_a_node_and_the_controller_and_no_trial") {
        let mut cluster = ray::Ray::start();
        faults::check(&mut cluster);
    }
}
