//! Splits that the source doesn't bring along: cut once, class by class.

use mnas_net::Stream;

/// Moves a share of each class from `from` into the returned list: the share rounded, but at
/// least one image and never all. Both lists stay sorted.
///
/// # Errors
/// The class whose images are too few to leave one on either side.
pub(crate) fn cut(
    from: &mut Vec<u32>,
    labels: &[u16],
    classes: usize,
    fraction: f64,
    random: &mut Stream,
) -> Result<Vec<u32>, usize> {
    let mut of_class: Vec<Vec<u32>> = vec![vec![]; classes];
    for i in &*from {
        of_class[usize::from(labels[*i as usize])].push(*i);
    }
    let (mut kept, mut moved) = (vec![], vec![]);
    for (class, mut members) in of_class.into_iter().enumerate() {
        let n = members.len();
        if n < 2 {
            return Err(class);
        }
        random.shuffle(&mut members);
        let taken = ((n as f64 * fraction).round() as usize).clamp(1, n - 1);
        moved.extend_from_slice(&members[..taken]);
        kept.extend_from_slice(&members[taken..]);
    }
    kept.sort_unstable();
    moved.sort_unstable();
    *from = kept;
    Ok(moved)
}
