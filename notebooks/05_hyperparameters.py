# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 5 · What the hyperparameters do, and how to read a sweep
#
# The weights of a network are learned. What is *not* learned is chosen by a person: the learning rate, the number and
# size of the kernels, and so on. Those choices are called **hyperparameters**. To find out what they do, one trains
# many networks: a **sweep**. Here it is one command. On one processor core it takes about two minutes.

# %%
# %matplotlib inline
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from convline.reporting.comparison import comparison
from convline.reporting.configurations import tables
from convline.reporting.run_records import find_runs

os.environ.pop("FORCE_COLOR", None)  # Jupyter sets it; commands print plain text without it
if Path.cwd().name == "notebooks":
    os.chdir("..")
SHORT = os.environ.get("CONVLINE_SHORT") == "1"
os.environ["DATA"] = "data=digits" if SHORT else "data=mnist data.train_fraction=0.1"
os.environ["RATES"] = "0.003,0.1" if SHORT else "0.003,0.03,0.3"
os.environ["KERNELS"] = "3,5" if SHORT else "3,5,7"
os.environ["SEEDS"] = "0,1" if SHORT else "0,1,2"
os.environ["EPOCHS"] = "1" if SHORT else "3"

# %% [markdown]
# ## The sweep
#
# Two stages of convolution, and two names in the text that have no value yet: `filters` and `kernel`. With `-m`,
# values with commas between them make a run for each combination: three learning rates, three kernels, three
# **seeds**. A seed sets everything that is random (initial weights, order of the images), so runs that differ in the
# seed alone show how much is luck.
#
# To be quick, the networks see a tenth of MNIST's training images only.

# %% language="bash"
# python train.py -m $DATA trainer.max_epochs=$EPOCHS callbacks=plain logger=csv \
#     'model.pattern="[CONV(filters, kernel) -> RELU -> POOL]*2 -> FC(64) -> RELU -> FC"' \
#     +model.filters=8 +model.kernel=$KERNELS optimizer.lr=$RATES seed=$SEEDS \
#     runs_dir=runs/notebooks/05 > /dev/null &&
# convline report runs/notebooks/05

# %% [markdown]
# ## Reading the table
#
# One line for each configuration, the best one first. `95.0 ± 0.3 (3)` is the mean over three seeds and their
# standard deviation: how far single runs usually are from the mean. The columns that you see are the settings that
# differ; what all runs share is left out. The lines are sorted by *validation* accuracy. The test accuracy is shown,
# but must not choose: if we took the best of many by the test set, its figure would be too good.
#
# The same table from Python:

# %%
(table,) = tables(find_runs([Path("runs/notebooks/05")]))
rows = []
for row in table.rows:
    accuracy = row.sample("val/acc")
    low, high = accuracy.interval
    rows.append({"lr": row.value("optimizer.lr"), "kernel": row.value("model.kernel"), "val acc": accuracy.mean,
                 "from": low, "to": high, "parameters": int(row.mean("parameters"))})  # fmt: skip
results = pd.DataFrame(rows)
results.assign(**{name: results[name].map("{:.2%}".format) for name in ("val acc", "from", "to")})

# %% [markdown]
# `from` and `to` are the 95 % confidence interval of the mean. With so few seeds it is wide; where it even leaves the
# range from 0 to 100 %, the runs differ so much that three of them say next to nothing. Two configurations whose
# intervals overlap a lot may well be equally good, whatever the order of the lines says.
#
# ## One hyperparameter at a time
#
# On the left each dot is one run, and the lines join the means. (The intervals are in the table above; one of them
# would cover the whole axis.) On the right is the best learning rate alone, on a scale of its own and with the 95 %
# intervals: the two other rates lie far below it, at 11 to 66 %.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4))
for kernel, group in results.sort_values("lr").groupby("kernel"):
    (line,) = left.plot(group["lr"], 100 * group["val acc"], label=f"kernel {kernel}")
    for row in table.rows:
        if row.value("model.kernel") == kernel:
            values = [100 * value for value in row.sample("val/acc").values]
            left.plot([row.value("optimizer.lr")] * len(values), values, ".", color=line.get_color())
left.set(xlabel="learning rate", xscale="log", ylim=(0, 101))
left.set_xticks(results["lr"].unique(), [f"{rate:g}" for rate in results["lr"].unique()])
left.minorticks_off()
left.legend()

best = results["lr"].iloc[0]
group = results[results["lr"] == best].sort_values("kernel")
right.errorbar(group["kernel"], 100 * group["val acc"], 100 * (group["to"] - group["val acc"]), marker="o", capsize=3)
right.set(xlabel="side of the kernel", xticks=group["kernel"], title=f"learning rate {best:g} alone")
for axis in (left, right):
    axis.set_ylabel("validation accuracy, %")
    axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# **The learning rate** is how large a step against the gradient is. Too small, and the network has not arrived when
# the epochs are over; too large, and it jumps about or never learns. It is the first one to search for, and on a
# logarithmic scale (0.003, 0.03, 0.3), because what counts is the factor.
#
# **The kernel's side** sets how much of the image one number sees. A larger one also has more weights and costs more
# multiplications:

# %%
costs = {row.value("model.kernel"): (row.mean("parameters"), row.mean("macs")) for row in table.rows}
pd.DataFrame(costs, index=["parameters", "macs"]).T.sort_index().rename_axis("kernel").map("{:,.0f}".format)

# %% [markdown]
# Both at once: does the best learning rate depend on the kernel? If so, searching for one after the other may miss
# the best pair. (Here, the same column should win in each row.)

# %%
pairs = results.pivot(index="kernel", columns="lr", values="val acc")
figure, axis = plt.subplots(figsize=(4.6, 2.8))
axis.imshow(pairs, cmap="Blues", aspect="auto", vmin=pairs.min().min() - 0.2)
for row, kernel in enumerate(pairs.index):
    for column, rate in enumerate(pairs.columns):
        shade = "white" if pairs.loc[kernel, rate] > 0.6 else "black"
        axis.text(column, row, f"{pairs.loc[kernel, rate]:.1%}", ha="center", va="center", color=shade)
axis.set_xticks(range(len(pairs.columns)), [f"{rate:g}" for rate in pairs.columns])
axis.set_yticks(range(len(pairs.index)), pairs.index)
axis.set(xlabel="learning rate", ylabel="kernel", title="validation accuracy")
plt.show()

# %% [markdown]
# ## Learning curves
#
# The final figure hides how it came about. Each curve is the mean over the seeds, for the kernel of side 5:

# %%
figure, axis = plt.subplots(figsize=(6, 3.2))
for row in sorted(table.rows, key=lambda row: row.value("optimizer.lr")):
    if row.value("model.kernel") == 5:
        curve = pd.concat(pd.DataFrame(run.epochs) for run in row.runs).groupby("epoch")["val/loss"].mean()
        axis.plot(curve.index, curve, "o-", label=f"lr {row.value('optimizer.lr'):g}")
axis.set(xlabel="epoch", ylabel="validation loss", xticks=curve.index)
axis.grid(alpha=0.3)
axis.legend()
plt.show()

# %% [markdown]
# ## Is the difference real?
#
# "7 is better than 3" is a claim about all seeds, of which we have seen a few. `comparison` (in a terminal: `convline
# compare`) takes the best configuration of each side by validation and asks whether the difference of the means could
# be chance.

# %%
low, high = os.environ["KERNELS"].split(",")[0], os.environ["KERNELS"].split(",")[-1]
found = comparison(["runs/notebooks/05"], f"model.kernel={low},{high}", "val", "acc")
difference = found.over_seeds
print(f"{found.a.name} minus {found.b.name}: {100 * difference.value:.2f} points,")
print(f"95 % interval {100 * difference.low:.2f} to {100 * difference.high:.2f}, p = {difference.p:.2g}")
print("the interval excludes zero" if difference.is_supported else "the interval includes zero: it may be chance")

# %% [markdown]
# A caution: the same validation images have chosen the learning rate of each side and now judge it. The best of several
# is in part the luckiest, so its validation figure is somewhat too good, the more so the more was tried. What settles
# the question are images that have chosen nothing: the test set, once, when all choices are made (`convline compare`
# looks there unless told otherwise).

# %% [markdown]
# ## The same, faster
#
# - The command typed again does only what is missing: add a value, and only its runs are trained.
# - `report.html`, in the folder of the runs, has these plots and more, and opens in a browser.
# - With many hyperparameters a grid explodes: five values of six settings are 15,625 runs.
#   [docs/sweeps.md](../docs/sweeps.md) shows searches that choose their next run by what they have seen.
#
# **Exercises**
#
# 1. Add `seed=0,1,2,3,4,5` to the command: which intervals get narrower, and by how much?
# 2. Sweep `data.batch_size=16,64,256` together with the learning rate. What do you have to do with the learning rate
#    when the batch gets larger?
# 3. Replace `POOL` by `AVGPOOL`, or by a stride of 2 in the convolution. Do the data support a difference?
#
# Next: [dense, local, convolutional](06_dense_local_convolutional.ipynb).
