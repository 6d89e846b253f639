//! Spaces that come with the program: one file, one line here.

/// Name and text of each.
pub(super) const SPACES: &[(&str, &str)] = &[
    ("mnasnet", include_str!("../../spaces/mnasnet.space")),
    (
        "mnasnet-small",
        include_str!("../../spaces/mnasnet-small.space"),
    ),
    (
        "mixed-small",
        include_str!("../../spaces/mixed-small.space"),
    ),
    ("proxyless", include_str!("../../spaces/proxyless.space")),
    (
        "proxyless-small",
        include_str!("../../spaces/proxyless-small.space"),
    ),
    ("nasnet", include_str!("../../spaces/nasnet.space")),
    (
        "nasnet-small",
        include_str!("../../spaces/nasnet-small.space"),
    ),
];

/// The text of a built-in space.
pub(super) fn text(name: &str) -> Option<&'static str> {
    SPACES
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, text)| *text)
}
