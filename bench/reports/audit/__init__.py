"""The pages of an audit, and what other pages show of its findings."""
