"""What the gateway tells of itself: metrics of all workers, spans, and prompts and answers where they are kept."""
