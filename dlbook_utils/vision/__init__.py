"""Vision: convolution, and the architectures built of it."""
