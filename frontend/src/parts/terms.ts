/** The glossary. */

export const TERMS: readonly (readonly [string, string])[] = [
  [
    'adversarial example',
    'An image changed a little, on purpose, so that the classifier takes it for another class while a person would not.',
  ],
  [
    'alarm',
    'A detector says that an image is not what the classifier takes it for. Always orange, with a triangle and the word.',
  ],
  ['attack', 'A method that looks for a change inside a budget (eps, in a norm) that makes the classifier err.'],
  ['attackability map', 'Every pixel at which a change of this pixel alone fools the classifier.'],
  [
    'calibrated rule',
    'An alarm when the score is above what all but a stated share of clean images reach. It knows no attack.',
  ],
  ['critical pixels', 'The pixels that carry most of the difference between two explanations, or between two images.'],
  ['detector', 'Something that scores an image (higher: stranger) and raises an alarm above a threshold.'],
  [
    'drift',
    'How far the attacked image’s activations are from the clean image’s, layer by layer, relative to the clean activations.',
  ],
  [
    'EER',
    'Equal error rate: the error at the threshold where false positives and false negatives are equally frequent.',
  ],
  ['eps', 'The largest change that an attack may make, measured in its norm; pixel values lie in 0 … 1.'],
  [
    'false negative',
    'The classifier was fooled and no alarm was raised. Here in words: “fooled the classifier, no alarm”.',
  ],
  ['false positive', 'A clean image raised an alarm. Here in words: “clean, alarm”.'],
  [
    'failed attack',
    'The attack’s image is still classified as the clean image was; it counts neither as positive nor as negative.',
  ],
  ['layer', 'A step of the classifier. Its activations are a vector; vectors of similar images lie near each other.'],
  [
    'left standing',
    'The share of the images classified correctly before that the attack could not turn, as some papers count.',
  ],
  ['margin', 'Logit of the true class minus the highest other one. Below zero: misclassified.'],
  [
    'metric',
    'How the distance of two activation vectors is measured: L1 (sum), L2 (length), L∞ (largest single difference), cosine (angle).',
  ],
  [
    'near-duplicate',
    'A neighbour that is almost the same picture as one nearer by; it should not count twice in your mind.',
  ],
  ['neighbours', 'The k training images, among those classified correctly, whose activations in a layer are nearest.'],
  [
    'norm',
    'How the size of a change is measured: L0 counts pixels, L1 sums, L2 is the length, L∞ the largest single change.',
  ],
  ['p-value', 'The share of clean calibration images that score at least as strangely. Small: strange.'],
  [
    'recovered class',
    'The class most neighbours belong to, where it is not the predicted one: what the image may have been.',
  ],
  [
    'robust accuracy',
    'The share of all test images that are right and that the attack could not turn. An upper bound: a better attack may turn more.',
  ],
  ['ROC', 'All thresholds at once: the share of attacks caught over the share of clean images that raise an alarm.'],
  [
    'SHAP',
    'Shares of the output that each pixel value adds (orange) or takes away (blue) compared with a background of training images.',
  ],
  ['strangers', 'Neighbours of another class than the predicted one.'],
  ['true negative', 'A clean image, and no alarm.'],
  ['true positive', 'The classifier was fooled, and an alarm was raised.'],
  [
    'tuned rule',
    'The paper’s rule: an alarm when more than a threshold of the k neighbours are strangers, chosen on one attack’s examples.',
  ],
];
