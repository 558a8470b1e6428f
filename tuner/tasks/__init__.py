"""What good means: data, inputs, metric."""
