/** What a threshold makes of scores: an alarm is a score above it. */

export interface Cut {
  truePositive: number;
  falseNegative: number;
  falsePositive: number;
  trueNegative: number;
  tpr: number;
  fpr: number;
}

/** Scores with the `clean` first ones clean and the others attacked. */
export function cut(scores: ArrayLike<number>, clean: number, threshold: number): Cut {
  let falsePositive = 0;
  let truePositive = 0;
  for (let i = 0; i < scores.length; i += 1) {
    if ((scores[i] ?? 0) <= threshold) continue;
    if (i < clean) falsePositive += 1;
    else truePositive += 1;
  }
  const attacked = scores.length - clean;
  return {
    truePositive,
    falsePositive,
    falseNegative: attacked - truePositive,
    trueNegative: clean - falsePositive,
    tpr: attacked ? truePositive / attacked : NaN,
    fpr: clean ? falsePositive / clean : NaN,
  };
}

/** Counts in equal bins over [low, high]; the last bin holds its upper end. */
export function histogram(values: ArrayLike<number>, low: number, high: number, bins: number): number[] {
  const counts = new Array<number>(bins).fill(0);
  for (let i = 0; i < values.length; i += 1) {
    const place = Math.min(bins - 1, Math.max(0, Math.floor((((values[i] ?? 0) - low) / (high - low || 1)) * bins)));
    counts[place] = (counts[place] ?? 0) + 1;
  }
  return counts;
}
