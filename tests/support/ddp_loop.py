"""A plain training loop in torch's DistributedDataParallel on the batches of a run: torchrun ddp_loop.py RUN_DIR."""

import sys

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from convline.data.loader import LoaderConfig
from convline.training.loaded_run import load_run
from convline.training.setup import build_initial_network

dist.init_process_group("gloo")
torch.set_num_threads(1)
rank, world_size = dist.get_rank(), dist.get_world_size()
run = load_run(sys.argv[1])
config = LoaderConfig(run.data.batch_size, order_seed=run.cfg.seed, rank=rank, world_size=world_size)
loader = run.data.training_loader(torch.device("cpu"), config)
network = build_initial_network(run.cfg).to(memory_format=torch.channels_last)
model = DistributedDataParallel(network)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=True)
for _ in range(run.cfg.trainer.max_epochs):
    for execution in loader:
        for images, targets in execution:
            optimizer.zero_grad()
            F.cross_entropy(model(images), targets).backward()
            optimizer.step()
if rank == 0:
    torch.save(network.state_dict(), "loop.pt")
dist.destroy_process_group()
