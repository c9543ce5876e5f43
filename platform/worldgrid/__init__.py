"""worldgrid: distributed experiments with JEPA world models on Ray and MLflow."""
