"""Probes trained by gradient descent: MLP, attentive pooling, prototypes, mixtures of layers."""
