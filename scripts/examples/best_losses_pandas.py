"""The best run of each model: scalelaw export parquet --out runs.parquet; best_losses_pandas.py runs.parquet"""

import sys

import pandas as pd

runs = pd.read_parquet(sys.argv[1])
points = runs[runs.included & (runs.stage == "pretraining") & (runs.state == "completed")]
best = points.loc[points.groupby("model").heldout_loss_nats.idxmin()].sort_values("training_flops")
print(best[["model", "training_flops", "heldout_loss_nats"]].to_csv(index=False), end="")
