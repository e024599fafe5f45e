"""Client programs that were not written for this bridge, each as its own documents set it up."""
