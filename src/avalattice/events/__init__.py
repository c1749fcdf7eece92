"""From activations to events: calibration, thresholds, counts."""
