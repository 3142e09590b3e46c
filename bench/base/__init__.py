"""What every other room stands on: errors, the registry, paths, the cache, progress, provenance, settings."""
