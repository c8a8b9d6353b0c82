"""Times of torch's fused attention (cuDNN and FlashAttention-2) at the lengths `harness attention time` uses."""
import statistics

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

for name, backend in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash", SDPBackend.FLASH_ATTENTION)):
    for dim, heads in ((128, 24), (64, 48)):
        cells = []
        for length in (512, 1536, 2048, 2816, 4608):
            q, k, v = (torch.randn(1, heads, length, dim, device="cuda", dtype=torch.bfloat16) for _ in range(3))
            with sdpa_kernel(backend):
                call = lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v)
                for _ in range(10):
                    call()
                times = []
                for _ in range(9):
                    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                    start.record()
                    for _ in range(10):
                        call()
                    stop.record()
                    stop.synchronize()
                    times.append(start.elapsed_time(stop) / 10)
            ms = statistics.median(times)
            cells.append(f"  {ms * 1e3:9.1f} {4 * length * length * dim * heads / ms / 1e9:8.0f}")
        print(f"{'torch ' + name + ' d' + str(dim):24s}" + "".join(cells), flush=True)
