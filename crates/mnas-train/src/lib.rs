//! How good is it: datasets, augmentation, training engines, the trainer and checkpoints.
