"""Probes trained by gradient descent: MLP, attentive pooling, mixtures of layers."""
