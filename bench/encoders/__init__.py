"""From clips to features: loading encoders, batching, pooling, the feature store, the contract."""
