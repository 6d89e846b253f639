//! Studies on a real cluster of this machine, which loses a node, its network and its controller on
//! the way. Started by `cargo xtask cluster-test slurm` or `... ray`; skipped by name otherwise,
//! since both need packages that are large.

#[path = "clusters/faults.rs"]
mod faults;
#[path = "clusters/network.rs"]
mod network;
#[path = "clusters/ray.rs"]
mod ray;
#[path = "clusters/sleepers.rs"]
mod sleepers;
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

/// A node's network; a word where there can be none.
fn network(test: &str) -> Option<network::Network> {
    let network = network::Network::make();
    if network.is_none() {
        println!("skipped: {test} (network namespaces need root and iproute2)");
    }
    network
}

#[test]
fn local_workers_are_kept_busy() {
    if wanted("local", "local_workers_are_kept_busy") {
        sleepers::check_busy_here();
    }
}

#[test]
fn slurm_loses_a_node_and_the_controller_and_no_trial() {
    let test = "slurm_loses_a_node_and_the_controller_and_no_trial";
    if wanted("slurm", test) {
        faults::check(&mut slurm::Slurm::start(None));
    }
}

#[test]
fn slurm_is_kept_busy_and_measures_on_one_phone() {
    if wanted("slurm", "slurm_is_kept_busy_and_measures_on_one_phone") {
        let cluster = slurm::Slurm::start(None);
        sleepers::check_phone(&cluster);
        sleepers::check_busy(&cluster);
    }
}

#[test]
fn slurm_bears_a_cut_network() {
    let test = "slurm_bears_a_cut_network";
    if wanted("slurm", test)
        && let Some(network) = network(test)
    {
        sleepers::check_cut(&slurm::Slurm::start(Some(&network)), &network);
    }
}

#[test]
fn ray_loses_a_node_and_the_controller_and_no_trial() {
    if wanted("ray", "ray_loses_a_node_and_the_controller_and_no_trial") {
        faults::check(&mut ray::Ray::start(None));
    }
}

#[test]
fn ray_is_kept_busy_and_measures_on_one_phone() {
    if wanted("ray", "ray_is_kept_busy_and_measures_on_one_phone") {
        let cluster = ray::Ray::start(None);
        sleepers::check_phone(&cluster);
        sleepers::check_busy(&cluster);
    }
}

#[test]
fn ray_bears_a_cut_network() {
    let test = "ray_bears_a_cut_network";
    if wanted("ray", test)
        && let Some(network) = network(test)
    {
        sleepers::check_cut(&ray::Ray::start(Some(&network)), &network);
    }
}
