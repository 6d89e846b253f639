//! Which network next: spaces, controllers, objective, trials, events, the study fold and the Pareto front. Pure.
