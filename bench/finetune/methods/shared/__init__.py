"""What several methods of fine-tuning share: the base class, losses, mixing, margins, projectors."""
