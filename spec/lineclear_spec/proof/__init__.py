"""The room proof."""
