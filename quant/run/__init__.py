"""Running networks: the integer reference, the same integers fast, float in ONNX Runtime, calibration."""
