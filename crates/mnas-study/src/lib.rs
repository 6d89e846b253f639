//! Runs a study: store, worker processes, evaluation, the search loop, resume and the final stage.
