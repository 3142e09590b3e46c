"""From recordings on disk to the clips of a task: decoding, inspection, manifests, checks."""
