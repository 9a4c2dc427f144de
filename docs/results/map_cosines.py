#!/usr/bin/env python3
"""How alike the relevance maps of one image for two prototypes are: cosines within the predicted class and to other classes.

    python docs/results/map_cosines.py PROTOVAE RUN [METHOD]      # needs numpy; the first 20 test images
"""
import json
import subprocess
import sys
import tempfile

import numpy as np

program, run, method = (sys.argv[1:] + ["prp"])[:3]
own, other = [], []
with tempfile.TemporaryDirectory() as folder:
    numbers = ",".join(str(number) for number in range(20))
    command = [program, "explain", run, "--test", numbers, "--prototypes", "all", "--method", method, "--maps", "--json", "--out", folder]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        found = json.loads(line)
        classes = np.array([target["class_index"] for target in found["targets"]])
        maps = np.load(found["maps"]).reshape(len(classes), -1)
        maps /= np.linalg.norm(maps, axis=1, keepdims=True)
        cosines, mine = maps @ maps.T, classes == found["class_index"]
        own.append(cosines[np.ix_(mine, mine)][np.triu_indices(mine.sum(), 1)])
        other.append(cosines[np.ix_(mine, ~mine)].ravel())
for name, values in (("within the class", np.concatenate(own)), ("to other classes", np.concatenate(other))):
    print(f"{method}, {name}: mean {values.mean():.4f}, from {values.min():.4f} to {values.max():.4f}")
