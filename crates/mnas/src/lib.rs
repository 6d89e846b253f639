//! The command: finds a convolutional network for your images on your device.
