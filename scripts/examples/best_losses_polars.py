"""The best run of each model: scalelaw export arrow --out runs.arrow; best_losses_polars.py runs.arrow"""

import sys

import polars as pl

runs = pl.scan_ipc(sys.argv[1])
points = runs.filter(pl.col("included"), pl.col("stage") == "pretraining", pl.col("state") == "completed")
best = points.sort("heldout_loss_nats").group_by("model", maintain_order=True).first().sort("training_flops")
print(best.select("model", "training_flops", "heldout_loss_nats").collect().write_csv(), end="")
