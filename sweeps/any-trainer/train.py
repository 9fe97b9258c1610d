"""A trainer in ten lines: least squares on 200 noisy points, by gradient descent; no package is needed."""
import json, os, random, sys
lr, epochs, degree, seed = float(sys.argv[1]), int(float(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4])
random.seed(seed)
data = [(x, x**3 - x + random.gauss(0, 0.1)) for x in (random.uniform(-1, 1) for _ in range(250))]
train, heldout, weights = data[:200], data[200:], [0.0] * (degree + 1)
error = lambda x, y: sum(w * x**k for k, w in enumerate(weights)) - y
loss = lambda points: sum(error(x, y) ** 2 for x, y in points) / len(points)
for x, y in train * epochs:
    weights = [w - lr * error(x, y) * x**k for k, w in enumerate(weights)]
print(json.dumps({"event": "finished", "heldout_loss": loss(heldout)}), file=open(os.environ["SCALELAW_JOURNAL"], "a"))
