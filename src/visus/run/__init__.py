"""Where everything meets: train, resume, evaluate, predict, and networks by name."""
