"""Reading ONNX files: what the importer and the reader of quantized files both need."""
