//! Shows a study: views and the offline HTML report, computed from a folded study.
