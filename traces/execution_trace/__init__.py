"""PyTorch execution traces (ExecutionTraceObserver): who called what with which tensors."""
