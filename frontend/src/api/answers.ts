// Made by `python -m pixelproof.web.typescript` from the answers of src/pixelproof/views; do not edit.

/**
 * Figs. 8 to 11: accuracy of one layer over k, every k with its equal-error threshold of the tuning half.
 *
 * Place i of every curve is k = i + 1; all are shares, and accuracy weighs clean and attacked images equally.
 */
export interface AccuracyOverK {
  /** A layer, or 'composed' for all of them joined. */
  layer: string;
  /** Accuracy on the tuning half. */
  tuning: number[];
  /** Accuracy on the judging half. */
  validation: number[];
  /** Equal error rate on the tuning half. */
  eer: number[];
  /** The k chosen on the tuning half. */
  best: number;
  /** The k that the judging half's curve would pick, as the paper chose it. */
  papers_k: number;
}

/**
 * Activations of two images in one layer, and who carries their distance.
 *
 * `share` of a unit: |difference|^p / sum, p = 2 (euclidean), 1 (manhattan); by Chebyshev one unit carries all; by
 * cosine shares are those of the squared difference of the rows divided by their lengths. `carried[m]` is the share
 * of the m + 1 largest units together.
 */
export interface ActivationDifference {
  available: true;
  /** Whose activations are compared. */
  layer: string;
  /** That the distance is measured by. */
  metric: string;
  /** The first image: clean, adversarial or the position of a training image. */
  a: string;
  /** The second image, likewise. */
  b: string;
  /** Units of the layer. */
  width: number;
  /** Between the two images, by the metric. */
  distance: number;
  /** Those with the largest shares, largest first. */
  units: UnitChange[];
  /** Shares of the largest units together, 0 to 1. */
  carried: number[];
  /** All activations of both images: (2, width). */
  vectors: Numbers;
  /** How many units carry half of the distance, in words. */
  sentence: string;
}

/** Clean images against one attack's successes, none of which anything was tuned on. */
export interface Against {
  /** File name of the attack's state. */
  attack: string;
  /** Clean images, correctly classified. */
  clean: number;
  /** Images that the attack turned. */
  attacked: number;
  /** Layers in the network's order, then the composed one. */
  spaces: Space[];
  /** (spaces, clean + attacked): clean images first. */
  scores: Numbers;
  /** The images' example ids, in the order of the scores. */
  examples: string[];
}

/**
 * An image to judge: little-endian float32 values in [0, 1], (c, h, w), as base64.
 *
 * Within a `session` (a name the browser draws) the highest `sequence` wins: older questions get 409.
 */
export interface Ask {
  /** A name the browser draws. */
  session: string;
  /** Higher in every later question of a session. */
  sequence: number;
  /** The image. */
  pixels: string;
  /** How many to list per layer. */
  neighbours?: number;
}

/** Pages of tiles at native size. Tile i is on page i // (columns * rows), in reading order; pages count from 0. */
export interface Atlas {
  /** With {page} in it, relative to the API's root. */
  href: string;
  /** Width and height of a tile in pixels. */
  tile: [number, number];
  /** Tiles side by side on a page. */
  columns: number;
  /** Tiles one below the other on a page. */
  rows: number;
  /** How many pages there are. */
  pages: number;
  /** On all pages together. */
  tiles: number;
}

/** At which pixels some colour fools the classifier: the complete one-pixel map of a clean image. */
export interface Attackability {
  available: true;
  /** Positions row * width + column. */
  vulnerable: number[];
  /** Wrong classes that some one-pixel change reaches. */
  targets: number[];
  /** One-pixel changes that were judged: every pixel in every corner colour. */
  candidates: number;
  /** What is proven about colours that were not tried; null if nothing. */
  certificate: string | null;
  /** How they were judged and what the map does not prove. */
  note: string;
}

/**
 * DeepSHAP of both images for the class predicted for each; `values` is (2, c, h, w), or (1, ...) for clean rows.
 *
 * `gap` is the relative additivity gap: attributions with more than 0.001 do not add up.
 */
export interface Attributions {
  available: true;
  /** How the values were made. */
  method: string;
  /** The class explained for each image, clean first. */
  classes: number[];
  /** Expected logit of that class over the backgrounds: where the values start from. */
  base: number[];
  /** One for each image. */
  gap: number[];
  /** Largest |value|: the common, zero-centred scale of both maps. */
  limit: number;
  /** One value per pixel and channel, in logits. */
  values: Numbers;
  /** One per sense; empty for clean rows. */
  critical: CriticalPositions[];
  /** Training images that stand for 'nothing there'. */
  background: number;
  /** False when computed now, from the run's classifier and background images. */
  stored: boolean;
}

/** What an audit said of this classifier at one norm and budget. */
export interface Audited {
  /** Of the budget. */
  norm: string;
  /** The budget in that norm. */
  eps: number;
  /** That the audit's random numbers were drawn with. */
  seed: number;
  /** In one sentence. */
  verdict: string;
  /** Whether no red flag blocks the bound. */
  believable: boolean;
}

/** What the paper says of a row: accuracies in training, at test and under attack, and the added training time. */
export interface ClaimedRow {
  /** Accuracy on training images; null where the paper has none. */
  training: number | null;
  /** Accuracy on clean test images. */
  clean: number | null;
  /** Accuracy under the paper's attack. */
  robust: number | null;
  /** Added training time, as the paper prints it. */
  time: number | null;
}

/** One class on the clean test images. */
export interface ClassRow {
  /** True class. */
  class: string;
  /** Clean test images of this class. */
  n: number;
  /** Those that are classified correctly. */
  correct: number;
  /** Share of the images taken for it that are of it; null, as the others, where it does not occur. */
  precision: number | null;
  /** Share of this class's images that are taken for it. */
  recall: number | null;
  /** Harmonic mean of precision and recall. */
  f1: number | null;
}

/** One folder of a command in the list of the explorer. */
export interface CommandCard {
  /** In addresses. */
  id: string;
  /** Of the folder. */
  name: string;
  /** Command, model and data. */
  title: string;
  /** What was found, in one sentence; empty while the command is not finished. */
  about: string;
  /** The command's name. */
  command: string;
  /** False where the command was interrupted or ran out of time. */
  complete: boolean;
  /** Unix seconds; null when not complete. */
  finished: number | null;
}

/** Critical pixels in one of paper 1's senses: positions row * width + column, most critical first. */
export interface CriticalPositions {
  /** generation: the attacked image's explanation is large; detection: it changed. */
  sense: string;
  /** Most critical first. */
  positions: number[];
}

/** Robust accuracy over eps for one attack; points in ascending order. */
export interface Curve {
  /** As the study names it. */
  attack: string;
  /** The attack's name without its settings. */
  family: string;
  /** Whether this is noise, to compare attacks with. */
  control: boolean;
  /** Of the budgets. */
  norm: string;
  /** That its random numbers were drawn with. */
  seed: number;
  /** One per budget, ascending. */
  points: RobustnessRow[];
}

/** A run that cannot be read, and why. */
export interface DamagedRun {
  /** Of its folder. */
  name: string;
  /** In one sentence. */
  why: string;
}

/**
 * What one layer's neighbours say of one image.
 *
 * Tuned rule (the paper's): alarm when more than `threshold` of the `k` neighbours belong to another class than the
 * predicted one. Calibrated rule: alarm when `score` (the same count, ties ordered by distance) is above `limit`,
 * which clean images set at the false-alarm rate `rate`.
 */
export interface Decision {
  /** Neighbours that are looked at. */
  k: number;
  /** Of the k, those that belong to another class than the predicted one. */
  strangers: number;
  /** Strangers that the tuned rule allows. */
  threshold: number;
  /** By the tuned rule. */
  alarm: boolean;
  /** Strangers, plus up to one half that orders equal counts by distance. */
  score: number;
  /** The highest score without an alarm by the calibrated rule. */
  limit: number;
  /** Conformal: at most p in a share p of clean images. */
  p_value: number;
  /** By the calibrated rule. */
  calibrated_alarm: boolean;
  /** Share of clean images that the calibrated rule may alarm on. */
  rate: number;
  /** Neighbours per class, among the k nearest. */
  votes: number[];
  /** The class of most neighbours where it is not the predicted one. */
  recovered: number | null;
  /** Why, in words, from these numbers (tuned rule). */
  sentence: string;
  /** The same for the calibrated rule. */
  sentence_calibrated: string;
}

/** Plain and hardened models beside each other. */
export interface Defences {
  available: true;
  /** Network by network, rows in the study's order, the plain one first. */
  rows: HardenedRow[];
  /** One for each network, in the study's order. */
  budgets: FoundBudget[];
  /** One for each row of which the paper has figures. */
  utilities: Utility[];
  /** Best utility first; empty where nothing was searched. */
  search: SearchTrial[];
}

/** One detector's word on every row of the gallery; score and alarm are null where it was not asked. */
export interface DetectorColumn {
  available: true;
  /** As in Gallery.detectors. */
  id: string;
  /** As the detector table and the page name it. */
  name: string;
  /** An alarm is a score above it. */
  threshold: number;
  /** The false-alarm rate the threshold was set for; null for the tuned rule. */
  rate: number | null;
  /** One per row of the gallery; higher is stranger. Null where it was not asked. */
  score: (number | null)[];
  /** Whether the score is above the threshold. */
  alarm: (boolean | null)[];
  /** Positions in Gallery.cases. */
  case: number[];
}

/** One detector against one attack, on images that it was not fitted on. */
export interface DetectorRow {
  /** Area under the ROC curve. */
  auroc: Estimate;
  /** Average precision, at these numbers of images. */
  aupr: Estimate;
  /** False positives where 95 % of the attacked are found. */
  fpr95: Estimate;
  /** Attacked found at no more than 1 % false positives. */
  tpr1: Estimate;
  /** Attacked found at no more than 5 % false positives. */
  tpr5: Estimate;
  /** Where false positives and misses are equally frequent. */
  eer: Estimate;
  /** The best balanced accuracy that any threshold has. */
  accuracy: Estimate;
  /** Of the row, within its list. */
  id: string;
  /** Its spec, or 'neighbours, LAYER' for the alarm rule of one layer. */
  detector: string;
  /** Whether it only shows what a detector without explanations reaches. */
  control: boolean;
  /** The attack it was fitted or tuned on; empty where it saw clean images only. */
  fitted_on: string;
  /** As the study names it. */
  attack: string;
  /** Clean images, correctly classified, that the figures rest on. */
  clean_n: number;
  /** Successfully attacked images that the figures rest on. */
  attacked_n: number;
  /** AUROC against clean images with the same perturbation, shuffled. */
  noise: Estimate | null;
  /** The false-alarm rate that its own threshold was set to. */
  rate: number;
  /** Attacked images above its own threshold. */
  alarms: Rate;
  /** Clean test images above its own threshold, misclassified ones included. */
  false_alarms: Rate;
  /** Attacked images whose recovered class is the true one; null: none is. */
  recovered: Rate | null;
  /** On those clean and attacked images. */
  roc: Roc;
}

/**
 * What one detector says of one image, and which of the cases that is, in words.
 *
 * `case` is one of Gallery.cases.
 */
export interface DetectorVerdict {
  /** Higher is stranger. */
  score: number;
  /** An alarm is a score above it. */
  threshold: number;
  /** Share of clean images at least as strange, by calibration; null where nothing was calibrated. */
  p_value: number | null;
  /** Whether the score is above the threshold. */
  alarm: boolean;
  /** The class it puts in place of the predicted one; null where it names none. */
  recovered: number | null;
  /** One of Gallery.cases. */
  case: string;
}

/** One detector on both images. */
export interface DetectorVerdicts {
  /** As in Gallery.detectors. */
  id: string;
  /** As the detector table and the page name it. */
  name: string;
  /** The rule or what its threshold rests on, in one sentence. */
  about: string;
  /** Of the clean image; null where it was not asked. */
  clean: DetectorVerdict | null;
  /** Of the attacked image; null where it was not asked or nothing was attacked. */
  adversarial: DetectorVerdict | null;
}

/** Every detector that was judged, by the section of the study; `known` are attacks that know one. */
export interface Detectors {
  available: true;
  /** One row per detector of [guards] and attack. */
  guards: GuardRow[];
  /** One row per detector of [signatures]. */
  signatures: DetectorRow[];
  /** One row per detector of [guards]. */
  natural_errors: NaturalErrors[];
  /** One row per detector and attack that knows it. */
  known: KnownRow[];
}

/** One pass over the training images. */
export interface Epoch {
  /** From 1 on. */
  epoch: number;
  /** Whether the weights after this epoch were kept. */
  kept: boolean;
  /** On the images it was trained on. */
  training: EpochScores;
  /** Null where no images were held back. */
  validation: EpochScores | null;
  /** That the epoch took. */
  seconds: number;
}

/** Loss, accuracy and macro scores; on training images running means within the epoch. */
export interface EpochScores {
  /** Mean over images. */
  loss: number;
  /** Share classified correctly. */
  accuracy: number;
  /** Mean over classes. */
  precision: number;
  /** Mean over classes. */
  recall: number;
  /** Mean over classes. */
  f1: number;
}

/** A figure with its 95 % bootstrap interval. */
export interface Estimate {
  value: number;
  low: number;
  high: number;
}

/** How far the adversarial image's activations are from the clean image's. */
export interface ExampleDrift {
  /** Length of the change relative to the clean activations' length. */
  norm: number;
  /** Cosine distance, 0 to 2. */
  cosine: number;
}

/** The nearest training images in one layer by one metric; the client shows the first k it wants. */
export interface ExampleNeighbours {
  available: true;
  /** Whose activations are compared. */
  layer: string;
  /** That distances are measured by. */
  metric: string;
  /** The metric the layer's decision was made with. */
  guard_metric: string;
  /** Training images that were searched: the correctly classified ones. */
  indexed: number;
  /** Of the clean image. */
  clean: Side;
  /** Of the attacked image; null for clean rows. */
  adversarial: Side | null;
  /** Tiles: the clean side's neighbours, then the adversarial side's. */
  atlas: Atlas | null;
}

/**
 * Everything about an example but the bulk: that is behind the links of the same name.
 *
 * GET .../clean.png, .../adversarial.png: 8-bit, native size. `pixels` (2, c, h, w): clean and adversarial, exact.
 * A row of the clean images has no adversarial twin: `adversarial`, `distance` and every drift are null, and its
 * arrays have one image instead of two.
 */
export interface ExamplePage {
  /** '{set id}~{index}'. */
  id: string;
  /** Its name in the list of runs. */
  run: string;
  /** The set of examples that it belongs to. */
  set: ExampleSet;
  /** The clean image's place in the test file. */
  index: number;
  /** True class. */
  label: number;
  /** The attack succeeded; false for clean rows. */
  success: boolean;
  /** It still does after rounding to 8 bits. */
  success_8bit: boolean;
  /** The classifier's word on the clean image. */
  clean: Output;
  /** The classifier's word on the attacked image. */
  adversarial: Output | null;
  /** Of the attacked image from the clean one, by norm. */
  distance: Record<string, number> | null;
  /** Pixels that differ in any channel. */
  changed: number | null;
  /** Both images, exact. */
  pixels: Numbers;
  /** In the order they run, then the composed layer. */
  layers: Layer[];
  /** Those that were asked about either image. */
  detectors: DetectorVerdicts[];
  /** Why layers say nothing here, when they do not. */
  guard: Missing | null;
  /** What the thresholds rest on: n, half, attack, rate. Empty without a guard. */
  guard_note: string;
  /** Whether no threshold was tuned on this image; null without a guard. */
  held_out: boolean | null;
  /** What happened, in one sentence. */
  sentence: string;
  /** Where the SHAP values are, or why there are none. */
  attribution: Numbers | Missing;
  /** Whether the run holds this image's one-pixel map. */
  attackability: boolean;
}

/** Examples that one attack made at one budget; `attack` is null for the clean images. */
export interface ExampleSet {
  /** Example ids are '{set id}~{index}', index being the image's place in the test file. */
  id: string;
  /** Attack and budget, for the reader. */
  label: string;
  /** clean, attacks, signatures, guards or pixels: the study's section it comes from. */
  source: string;
  /** As the study names it. */
  attack: string | null;
  /** The attack without its settings. */
  family: string | null;
  /** Whether this is noise, to compare attacks with. */
  control: boolean;
  /** The attack with the settings that ran; empty for the clean images. */
  spec: string;
  /** Of the budget: linf, l2, l1 or l0. */
  norm: string | null;
  /** The budget in that norm; null for an attack that looks for the smallest perturbation. */
  eps: number | null;
  /** That the attack's random numbers were drawn with. */
  seed: number | null;
  /** Examples with whole images: these are in the gallery. */
  kept: number;
  /** All images the attack was run on; figures left standing count these. */
  attacked: number;
}

/** A training image and how strongly it excites the unit. */
export interface Exciting {
  /** Position in the original training file. */
  index: number;
  /** True class. */
  label: number;
  /** Of the unit. */
  activation: number;
}

/** How and where a run was made; what an unfinished run does not know yet is null or empty. */
export interface Facts {
  /** Unix seconds. */
  finished: number | null;
  /** Of Python and of the packages that numbers come from. */
  versions: Record<string, string>;
  /** Of the checkout; null or empty where there was none. */
  revision: string | null;
  /** Operating system and processor. */
  machine: string;
  /** That torch computed with. */
  threads: number | null;
  /** Where the network ran: cpu or cuda. */
  device: string;
  /** By stage of the study. */
  seconds: Record<string, number>;
}

/** The eps at which FGSM leaves a network's baseline `accuracy` of n validation images, and every eps tried. */
export interface FoundBudget {
  /** The network that was attacked. */
  net: string;
  /** The budget that was found. */
  eps: number;
  /** The accuracy that was asked for. */
  wanted: number;
  /** The accuracy that FGSM leaves at eps. */
  accuracy: number;
  /** Validation images. */
  n: number;
  /** Every eps in the order it was tried. */
  tried: number[];
  /** The accuracy left at each eps tried. */
  reached: number[];
}

/** All examples, one row each, by column. */
export interface Gallery {
  /** Its name in the list of runs. */
  run: string;
  /** Rows: every column has as many entries. */
  n: number;
  /** The clean images first, then by section, in the study's order. */
  sets: ExampleSet[];
  /** The cases in words: what happened and what the detector said. */
  cases: string[];
  /** Tile i shows row i: the adversarial image, or the clean one of a clean row. */
  atlas: Atlas;
  /** Positions in sets. */
  set: number[];
  /** The clean image's place in the test file. */
  index: number[];
  /** True class. */
  label: number[];
  /** Class the classifier gives to the row's image. */
  predicted: number[];
  /** Class it gives to the clean image. */
  clean: number[];
  /** The attack succeeded; always false for clean rows. */
  success: boolean[];
  /** It still does after rounding to 8 bits. */
  success_8bit: boolean[];
  /** Logit of the true class minus the highest other. */
  margin: (number | null)[];
  /** By norm; null for clean rows and failures. */
  distance: Record<string, (number | null)[]>;
  /** Those whose columns can be asked for. */
  detectors: GalleryDetector[];
}

/** A detector whose word on the rows can be asked for: GET .../gallery/{id} is its DetectorColumn. */
export interface GalleryDetector {
  /** The place in its column's address. */
  id: string;
  /** As the detector table and the page name it. */
  name: string;
  /** layer (one layer's neighbours) or detector (a row of the detector table). */
  source: string;
  /** The layer whose neighbours it counts; null for a detector of the table. */
  layer: string | null;
  /** tuned (the paper's, on one attack) or calibrated (clean images only). */
  rule: string;
  /** The rule or what its threshold rests on, in one sentence. */
  about: string;
}

/**
 * The neighbour graph, already laid out in [-1, 1]^2: node 0 is the example, then its neighbours, nearest first.
 *
 * `links`: the example to every neighbour, and every neighbour to the `near` nodes nearest to it.
 */
export interface Graph {
  available: true;
  /** Whose activations are compared. */
  layer: string;
  /** That distances are measured by. */
  metric: string;
  /** Which image is in the middle: clean or adversarial. */
  side: string;
  /** Links from every neighbour to the nodes nearest to it. */
  near: number;
  /** Share of the squared distances that two dimensions cannot show, 0 to 1. */
  stress: number;
  /** The example, then its neighbours, nearest first. */
  nodes: Node[];
  /** Each pair once. */
  links: Link[];
}

/** A detector of [guards]: with its controls, cost, clean thresholds, and what attacks that know it reach. */
export interface GuardRow {
  /** Area under the ROC curve. */
  auroc: Estimate;
  /** Average precision, at these numbers of images. */
  aupr: Estimate;
  /** False positives where 95 % of the attacked are found. */
  fpr95: Estimate;
  /** Attacked found at no more than 1 % false positives. */
  tpr1: Estimate;
  /** Attacked found at no more than 5 % false positives. */
  tpr5: Estimate;
  /** Where false positives and misses are equally frequent. */
  eer: Estimate;
  /** The best balanced accuracy that any threshold has. */
  accuracy: Estimate;
  /** Of the row, within its list. */
  id: string;
  /** Its spec, or 'neighbours, LAYER' for the alarm rule of one layer. */
  detector: string;
  /** Whether it only shows what a detector without explanations reaches. */
  control: boolean;
  /** The attack it was fitted or tuned on; empty where it saw clean images only. */
  fitted_on: string;
  /** As the study names it. */
  attack: string;
  /** Clean images, correctly classified, that the figures rest on. */
  clean_n: number;
  /** Successfully attacked images that the figures rest on. */
  attacked_n: number;
  /** AUROC against clean images with the same perturbation, shuffled. */
  noise: Estimate | null;
  /** The false-alarm rate that its own threshold was set to. */
  rate: number;
  /** Attacked images above its own threshold. */
  alarms: Rate;
  /** Clean test images above its own threshold, misclassified ones included. */
  false_alarms: Rate;
  /** Attacked images whose recovered class is the true one; null: none is. */
  recovered: Rate | null;
  /** On those clean and attacked images. */
  roc: Roc;
  /** AUROC against all clean images, misclassified ones included. */
  auroc_all: number;
  /** AUROC against the clean originals of the very images that fell. */
  twins: Estimate | null;
  /** Attacked images whose second highest logit is the true class's. */
  second: Rate;
  /** Attempts that are alarmed or still classified correctly. */
  rejected_or_right: Rate;
  /** Of judging an image. */
  seconds_per_image: number;
  /** Attacked images alarmed at a clean threshold for 1 % false alarms. */
  alarms_1: Rate;
  /** What that rate is on clean test images. */
  false_alarms_1: Rate;
  /** Attacked images alarmed at a clean threshold for 5 % false alarms. */
  alarms_5: Rate;
  /** What that rate is on clean test images. */
  false_alarms_5: Rate;
  /** Clean validation images that its threshold comes from. */
  calibration: number;
  /** That fitting took. */
  fit_seconds: number;
  /** Images that attacks which know it turn without an alarm; null: not tried. */
  lost: Rate | null;
  /** The same with the single pixel that it finds least strange. */
  lost_pixel: Rate | null;
}

/** One network trained with one row of [defences], the seeds put together; the attacks judge n test images. */
export interface HardenedRow {
  /** The network. */
  net: string;
  /** The row of [defences]. */
  row: string;
  /** Specs, in the order they are applied; empty for the plain row. */
  defences: string[];
  /** Training seeds. */
  seeds: number;
  /** Test images that the attacks judge. */
  n: number;
  /** The budget of the attacks, unless they say another. */
  eps: number;
  /** Accuracy on the (masked) training images in the epoch that was kept. */
  training: Spread;
  /** Accuracy on all clean test images. */
  clean: Spread;
  /** CPU seconds of training, the mean over seeds. */
  cpu_seconds: number;
  /** CPU seconds of training relative to the plain row. */
  cost: number;
  /** Numbers that training sets. */
  parameters: number;
  /** Of the weights. */
  size_bytes: number;
  /** CPU seconds of predicting one image, the fastest seed. */
  seconds_per_image: number;
  /** Features of an image that the model looks at. */
  features: number;
  /** What the paper says of the row. */
  paper: ClaimedRow;
  /** Whether the study audits its rows. */
  audited: boolean;
  /** Whether this is the network's undefended row. */
  plain: boolean;
  /** Accuracy under every attack that judged it. */
  held: Held[];
  /** Beside the plain row of the same network. */
  against: Versus[];
  /** Share of the n images proven at eps; null where nothing can be. */
  certified: Spread | null;
  /** Without the defence's mask and with it; none where not audited. */
  audits: RowAudit[];
  /** Of the first seed, on all clean test images. */
  macro: Macro;
  /** The same images: true classes down, predicted across. */
  confusion: number[][];
  /** Of the first seed. */
  history: TrainingHistory;
}

/** Robust accuracy, of all images of the same sample, under one attack; `eps` is 0 where nothing attacked. */
export interface Held {
  /** Its name in tables: the attack, after 'on:' with the mask on, another eps after @. */
  name: string;
  /** Its name; 'clean' where nothing attacked. */
  attack: string;
  /** The budget. */
  eps: number;
  /** Whether the defence's mask was also on while judging. */
  mask_on: boolean;
  /** Share of the row's n images that are classified correctly. */
  accuracy: Spread;
}

/** Where the explorer begins. */
export interface Home {
  /** Of pixelproof. */
  version: string;
  /** True in an exported copy: nothing but the files beside it can be asked for. */
  static: boolean;
  /** Whether the live page is switched on. */
  live: boolean;
  /** In the order they were given. */
  runs: RunCard[];
  /** Folders that single commands kept with --out. */
  commands: CommandCard[];
  /** Runs that are left out. */
  damaged: DamagedRun[];
}

/** A running attack: GET its `events` (server-sent events, each a JobStep), DELETE it to cancel. */
export interface Job {
  /** The name by which it is cancelled. */
  job: string;
  /** Where its steps are told, relative to the API's root. */
  events: string;
  /** The attack with the value of every setting that runs, as a spec. */
  used: string;
}

/**
 * How a running attack stands. Step 0 is the image itself; the last one has `done`; `error` says why it failed.
 *
 * `margin` is the true class's logit minus the highest other (negative: fooled), or the way still to go to the target.
 * One-pixel attacks give `lowest`: per pixel the lowest margin seen so far, null where nothing was tried yet.
 */
export interface JobStep {
  /** Forward passes or pixels tried so far, as LiveAttack.stepwise says. */
  step: number;
  /** Steps there will be; null where nobody knows. */
  total: number | null;
  /** This is the last step. */
  done: boolean;
  /** It ended because it was told to. */
  cancelled: boolean;
  /** The image of this step reaches the goal. */
  success: boolean;
  /** Judged at the end only. */
  success_8bit: boolean | null;
  /** In logits. */
  margin: number | null;
  /** What the classifier says of the image; null where the step has none. */
  output: Output | null;
  /** The image now, base64 float32 as in Ask. */
  pixels: string | null;
  /** Of the image from the first one, by norm. */
  distance: Record<string, number> | null;
  /** One per pixel, row by row. */
  lowest: (number | null)[] | null;
  /** What the search proves, when it tried everything. */
  proven: string | null;
  /** Since the attack began. */
  seconds: number;
  /** Why it failed, in one sentence. */
  error: string | null;
}

/** The classifier's output, every judged layer's decision, and how unlike the training data the image is. */
export interface Judged {
  /** The question's own. */
  sequence: number;
  /** What the classifier says of the image. */
  output: Output;
  /** Every judged layer, the composed one last; empty without a guard. */
  layers: LiveLayer[];
  /** For the same layers, as many as were asked for. */
  neighbours: LiveNeighbours[];
  /** Why layers say nothing here, when they do not. */
  guard: Missing | null;
  /** A warning when the image is farther from the training images than usual. */
  unlike: string | null;
  /** That judging took, on the server. */
  milliseconds: number;
}

/**
 * An attack that knows a detector: how many images fooled the classifier, and how many of those unseen.
 *
 * The attack "any of them" is every image's worst case over the others; "quietest pixel" is the single pixel that
 * the detector finds least strange, where the study has one-pixel attacks.
 */
export interface KnownRow {
  /** As in its own row. */
  detector: string;
  /** Correctly classified test images that were attacked. */
  n: number;
  /** Of the budget. */
  norm: string;
  /** The budget in that norm. */
  eps: number;
  /** 0 for single pixels: every change that fools was shown to the guard. */
  steps: number;
  /** The false-alarm rate that the detector's threshold was set to. */
  rate: number;
  /** What the attack weighs or does, in words. */
  attack: string;
  /** Images that fool the classifier, seen or unseen. */
  fooled: Rate;
  /** Images that fool the classifier without an alarm. */
  evaded: Rate;
  /** Of the images that fool, against clean ones; null where none does. */
  auroc: number | null;
  /** Images lost to any of the attacks that know this detector. */
  lost: Rate;
}

/** One layer of the classifier, in order; decisions are null for layers that were not judged. */
export interface Layer {
  /** As registered in the network; 'composed' joins all judged layers. */
  name: string;
  /** As in LayerCard. */
  kind: string;
  /** Values per image. */
  width: number;
  /** Null for clean rows, for means of channels and for the composed layer. */
  drift: ExampleDrift | null;
  /** Of the clean image. */
  clean: Decision | null;
  /** Of the attacked image. */
  adversarial: Decision | null;
}

/** A layer that can be looked at; `judged` where the run holds what it says about examples. */
export interface LayerCard {
  /** As registered in the network; 'composed' joins all judged layers. */
  name: string;
  /** conv, dense, flatten, or composed (all judged layers together). */
  kind: string;
  /** Values per image. */
  width: number;
  /** Whether the run holds what its neighbours say. */
  judged: boolean;
}

/** An edge between two nodes (positions in `nodes`) with their distance. */
export interface Link {
  /** Position in `nodes`. */
  a: number;
  /** Position in `nodes`, higher than `a`. */
  b: number;
  /** Between the two, by the metric of the graph. */
  distance: number;
}

/** An attack that the live page offers, with its settings and their defaults. */
export interface LiveAttack {
  /** As in the table of attacks; 'certificate' is the proof. */
  name: string;
  /** What it does, in one sentence. */
  about: string;
  /** Default by name, as a spec spells it. */
  settings: Record<string, string>;
  /** From where to where a number may go, both included. */
  ranges: Record<string, [number, number]>;
  /** What a setting that is no number may be. */
  choices: Record<string, string[]>;
  /** What settings follow from where they are left at their default. */
  derived: Record<string, string>;
  /** What one step is. */
  stepwise: string;
}

/** One judged layer's decision. */
export interface LiveLayer {
  /** As in Layer. */
  name: string;
  /** What its neighbours say of the image. */
  decision: Decision;
}

/** The nearest training images in one layer. */
export interface LiveNeighbours {
  /** Whose activations are compared. */
  layer: string;
  /** Positions in the original training file, nearest first. */
  index: number[];
  /** True class of each. */
  label: number[];
  /** From the image, by the guard's metric. */
  distance: number[];
}

/** What the live page can do with this run. */
export interface LivePage {
  /** That can be run here. */
  attacks: LiveAttack[];
  /** Why layers say nothing here, when they do not. */
  guard: Missing | null;
  /** The largest file that is taken. */
  upload_bytes: number;
  /** The largest picture that is taken. */
  upload_pixels: number;
  /** Of picture files that are taken. */
  formats: string[];
  /** The rule by which uploads are made to fit, in words. */
  resize: string;
}

/** Unweighted means over the classes. */
export interface Macro {
  /** Share of the images taken for a class that are of it. */
  precision: number;
  /** Share of a class's images that are taken for it. */
  recall: number;
  /** Harmonic mean of precision and recall. */
  f1: number;
}

/** A projection that can be shown. */
export interface MapCard {
  /** The place in its address. */
  id: string;
  /** What is projected: images or a layer. */
  space: string;
  /** pca or umap. */
  method: string;
  /** Whether the study made it; else it is made when it is asked for. */
  stored: boolean;
  /** Points. */
  n: number;
}

/** The projections of a run. */
export interface Maps {
  /** Stored ones first, then PCA of the pixels and of every layer. */
  maps: MapCard[];
  /** How to get UMAP, when no stored projection used it. */
  umap: Missing | null;
}

/** A part that this run does not hold, with what would have to be added to its study. */
export interface Missing {
  available: false;
  /** What is missing, for example 'neighbours'. */
  part: string;
  /** One sentence for the reader. */
  why: string;
  /** What to do, for example a section to add to the study's TOML file. */
  add: string;
}

/**
 * An attack to run on an image, by its spec, for example 'pgd:eps=0.1,steps=20' or 'one-pixel'.
 *
 * `label` is the true class, `target` a class to reach. A new attack in the same session cancels the one before.
 */
export interface Mount {
  /** A name the browser draws. */
  session: string;
  /** The image, as in Ask. */
  pixels: string;
  /** True class. */
  label: number;
  /** A class to reach; null for any wrong one. */
  target?: number | null;
  /** Its spec. */
  attack: string;
  /** That the attack's random numbers are drawn with. */
  seed?: number;
}

/** A detector's figures with misclassified clean images in the place of attacked ones. */
export interface NaturalErrors {
  /** Area under the ROC curve. */
  auroc: Estimate;
  /** Average precision, at these numbers of images. */
  aupr: Estimate;
  /** False positives where 95 % of the attacked are found. */
  fpr95: Estimate;
  /** Attacked found at no more than 1 % false positives. */
  tpr1: Estimate;
  /** Attacked found at no more than 5 % false positives. */
  tpr5: Estimate;
  /** Where false positives and misses are equally frequent. */
  eer: Estimate;
  /** The best balanced accuracy that any threshold has. */
  accuracy: Estimate;
  /** As in its own row. */
  detector: string;
  /** Clean images that are classified correctly. */
  clean_n: number;
  /** Clean images that are misclassified. */
  wrong_n: number;
}

/** A node of the graph: the example (index null) or a training image, laid out by classical scaling. */
export interface Node {
  /** Position in the original training file; null for the example. */
  index: number | null;
  /** True class. */
  label: number;
  /** From the example, by the metric of the graph. */
  distance: number;
  /** From -1 to 1. */
  x: number;
  /** From -1 to 1. */
  y: number;
}

/** Where raw numbers are: little-endian float32 in C order, of this shape (also in the header X-Shape). */
export interface Numbers {
  /** Relative to the API's root, for example 'runs/digits/maps/pca~fc1/points.f32'. */
  href: string;
  /** Size along every axis. */
  shape: number[];
}

/** What the classifier says of one image. */
export interface Output {
  /** Position of the class with the highest logit. */
  predicted: number;
  /** One per class. */
  logits: number[];
  /** Softmax of the logits, one per class. */
  probabilities: number[];
}

/** Two runs compared image by image. */
export interface Paired {
  available: true;
  /** Test images that both runs used. */
  n: number;
  /** Clean images first, then every attack and budget that both runs hold. */
  cells: PairedCell[];
  /** What this comparison cannot say. */
  limit: string;
}

/** Two classifiers on the same images under one attack at one budget (nulls: clean); `difference` second - first. */
export interface PairedCell {
  /** As the studies name it; null for clean images. */
  attack: string | null;
  /** Of the budget; null for clean images. */
  norm: string | null;
  /** The budget in that norm; null for clean images. */
  eps: number | null;
  /** Images that the first classifier gets right. */
  first: Rate;
  /** Images that the second classifier gets right. */
  second: Rate;
  /** Images that only the first classifier gets right. */
  only_first: number;
  /** Images that only the second classifier gets right. */
  only_second: number;
  /** Of the two shares, second minus first, with its bootstrap interval over images. */
  difference: Estimate;
  /** McNemar's exact p-value. */
  p: number;
  /** Adjusted for all cells (Holm). */
  p_holm: number;
}

/** A part that a run may hold, and how to get it. */
export interface Part {
  /** The section of the study. */
  name: string;
  /** Whether the run holds anything of it. */
  available: boolean;
  /** What it adds to a run. */
  about: string;
  /** What to do to get it. */
  add: string;
}

/** Two coordinates per image. Point i is clean where `twin[i]` is null, else it was made from point `twin[i]`. */
export interface Projection {
  available: true;
  /** As in Maps. */
  id: string;
  /** What is projected: images or a layer. */
  space: string;
  /** pca or umap. */
  method: string;
  /** Points. */
  n: number;
  /** Examples there are; fewer are shown when a stratified sample was taken. */
  of: number;
  /** Shares of the variance (PCA). */
  explained: [number, number] | null;
  /** Clean images that the directions were fitted on. */
  fitted: number;
  /** Positions in the gallery's sets. */
  set: number[];
  /** The clean image's place in the test file. */
  index: number[];
  /** True class. */
  label: number[];
  /** Class the classifier gives to the point's image. */
  predicted: number[];
  /** The attack succeeded; false for clean points. */
  success: boolean[];
  /** The clean point it was made from; null for clean points. */
  twin: (number | null)[];
  /** (n, 2) */
  points: Numbers;
}

/** A share `hits / n` with its 95 % Wilson interval (Wilson 1927); `value` is null when nothing was counted. */
export interface Rate {
  hits: number;
  n: number;
  /** The share, None when nothing was counted. */
  value: number | null;
  /** Lower end of the 95 % interval. */
  low: number;
  /** Upper end of the 95 % interval. */
  high: number;
}

/** The body of every 4xx and 5xx answer: one sentence that says what was expected and what to do. */
export interface Refusal {
  /** What was expected, what was got and what to do. */
  error: string;
}

/** Curves with intervals: upper bounds, every one of them. */
export interface Robustness {
  available: true;
  /** Of all clean test images. */
  clean_accuracy: Rate;
  /** In the study's order. */
  curves: Curve[];
  /** One per norm and budget. */
  together: WorstCase[];
  /** Attacks of other sections, on their own samples of images. */
  sampled: Sampled[];
  /** Where FGSM ran and PGD did not. */
  unpaired: Unpaired[];
  /** The attack and budget to look at first, chosen by rule. */
  focus: RobustnessRow | null;
  /** Audits of this classifier that lie in the run. */
  audit: Audited[] | Missing;
}

/** One attack at one budget. Medians are over the broken images, null when there are none. */
export interface RobustnessRow {
  /** As the study names it. */
  attack: string;
  /** The attack's name without its settings. */
  family: string;
  /** Whether this is noise, to compare attacks with. */
  control: boolean;
  /** The attack with the settings that ran. */
  spec: string;
  /** Of the budget, or of the distance that is made small. */
  norm: string;
  /** Null for attacks that look for the smallest change. */
  eps: number | null;
  /** That its random numbers were drawn with. */
  seed: number;
  /** Attacked images: those classified correctly before. */
  n: number;
  /** Those of them that the attack broke. */
  misclassified: number;
  /** Those that stay broken when saved with 8 bits per value. */
  misclassified_8bit: number;
  /** Of all images judged, those right and not broken: an upper bound. */
  robust_accuracy: Rate;
  /** Of the attacked images, those not broken: an upper bound. */
  left_standing: Rate;
  /** Forward pass; null when it never looked or shares its cost. */
  median_first_break: number | null;
  /** By norm. */
  median_distance: Record<string, number | null>;
  /** Forward passes, mean over the attacked images. */
  forwards_per_image: number;
  /** Backward passes, mean over the attacked images. */
  backwards_per_image: number;
  /** That the attack took on all images. */
  seconds: number;
  /** Whether passes and seconds are those of one search over several budgets. */
  shared_cost: boolean;
  /** Robust accuracy of every class, in the order of the classes. */
  per_class: Rate[];
  /** Id of the set with its examples; null when none were kept. */
  set: string | null;
  /** How the attack went where it did not go as usual. */
  notes: string[];
}

/** A ROC curve, one point per distinct score: an image is flagged when score >= threshold (the first is null). */
export interface Roc {
  /** Descending; null where nothing exceeds them or none are known. */
  thresholds: (number | null)[];
  /** False-positive rate: share of the clean images flagged, 0 to 1. */
  fpr: number[];
  /** True-positive rate: share of the attacked images flagged, 0 to 1. */
  tpr: number[];
}

/** What the audit of a row's model said, on n images. */
export interface RowAudit {
  /** Whether the defence's mask was on at test. */
  mask_on: boolean;
  /** In one sentence. */
  verdict: string;
  /** Whether no red flag blocks the bound. */
  believable: boolean;
  /** Red flags that were raised. */
  raised: string[];
  /** Images that were audited. */
  n: number;
}

/** One run in the list; what an unfinished run does not know yet is null or empty. */
export interface RunCard {
  /** The name in its addresses. */
  id: string;
  /** Of the study. */
  name: string;
  /** Of the study. */
  title: string;
  /** What the study asks, in its own words. */
  about: string;
  /** Name of the data set. */
  data: string;
  /** Name of the network. */
  net: string;
  /** Specs of the defences that its classifier was trained with. */
  defences: string[];
  /** That every random number was drawn with. */
  seed: number;
  /** False while the study still runs, or when it was interrupted. */
  complete: boolean;
  /** Unix seconds; null when not complete. */
  finished: number | null;
  /** Of the classifier's weights: equal digests are the same classifier. */
  digest: string;
  /** Of all clean test images. */
  clean_accuracy: Rate | null;
  /** Examples with whole images in the run: the rows of its gallery. */
  examples: number;
  /** Of [attacks], as the study names them. */
  attacks: string[];
  /** An adversarial example to begin with: it fools the classifier. */
  start: string | null;
  /** The examples whose pages an exported copy holds; null where all can be asked for. */
  exported: string[] | null;
}

/** A run: what it is about, its list entry, layers, training, and which parts it holds. */
export interface RunPage {
  /** Of the study. */
  name: string;
  /** Of the study. */
  title: string;
  /** What the study asks, in its own words. */
  about: string;
  /** That every random number was drawn with. */
  seed: number;
  /** Name of the data set. */
  data: string;
  /** Names in the order of the logits. */
  classes: string[];
  /** Name of the network. */
  net: string;
  /** Numbers that training sets. */
  parameters: number;
  /** Of the weights. */
  size_bytes: number;
  /** Inference, in batches. */
  seconds_per_image: number;
  /** Of the classifier's weights: equal digests are the same classifier. */
  digest: string;
  /** Of all clean test images. */
  clean_accuracy: Rate;
  /** Over the classes, on all clean test images. */
  macro: Macro;
  /** In the order of the classes. */
  per_class: ClassRow[];
  /** The study, as it was asked for. */
  spec: Record<string, unknown>;
  /** Of the run's making. */
  facts: Facts;
  /** The same run in the list. */
  card: RunCard;
  /** Channels, height, width of an image. */
  shape: [number, number, number];
  /** In the order they run, the composed layer last; empty without the classifier. */
  layers: LayerCard[];
  /** One per section of a study that may be left out. */
  parts: Part[];
  /** Null where the run keeps none. */
  history: TrainingHistory | null;
  /** Whether the training images are on disk, for thumbnails. */
  training_images: boolean;
}

/** What an attack of [signatures] or [guards] left standing of the images that it was run on. */
export interface Sampled {
  /** The section of the study: signatures or guards. */
  source: string;
  /** As the study names it. */
  attack: string;
  /** Attack and budget, for the reader. */
  label: string;
  /** Of the budget. */
  norm: string;
  /** The budget; null for attacks that look for the smallest change. */
  eps: number | null;
  /** That its random numbers were drawn with. */
  seed: number;
  /** Of the attacked images, which were all classified correctly before. */
  left_standing: Rate;
  /** Id of the set with its examples. */
  set: string;
}

/** One setting of the random search, judged on n validation images, clean and under `attack` at eps. */
export interface SearchTrial {
  /** The network. */
  net: string;
  /** That judged it, without its budget. */
  attack: string;
  /** The budget of the attack. */
  eps: number;
  /** Validation images. */
  n: number;
  /** Spec of the mask. */
  mask: string;
  /** Spec of the training. */
  training: string;
  /** Accuracy on the validation images. */
  clean: number;
  /** Robust accuracy under the attack, of all n images. */
  robust: number;
  /** (1 - weight) clean + weight robust. */
  utility: number;
  /** That the trial took. */
  cpu_seconds: number;
}

/** Neighbours of one image, nearest first. `alike`: place in this list of a near-duplicate before it, or null. */
export interface Side {
  /** Positions in the original training file. */
  index: number[];
  /** True class of each. */
  label: number[];
  /** From the example's image, by the metric asked for. */
  distance: number[];
  /** Place in this list of a near-duplicate before it; null where there is none. */
  alike: (number | null)[];
}

/**
 * One layer: its rules, and its ROC on the images that nothing was tuned on.
 *
 * The score of an image is the number of strangers (neighbours of another class than the predicted one) plus up to
 * one half, which orders equal counts. The tuned rule, more than `count` strangers, is the same as a score above
 * `threshold`; the calibrated rule is a score above `limit`.
 */
export interface Space {
  /** A layer, or 'composed' for all of them joined. */
  name: string;
  /** Neighbours looked at. */
  k: number;
  /** Strangers that the tuned rule allows. */
  count: number;
  /** The tuned rule: an alarm is a score above it. */
  threshold: number;
  /** The calibrated rule: an alarm is a score above it. */
  limit: number;
  /** auroc, tpr1, tpr5, eer, accuracy. */
  figures: Record<string, Estimate>;
  /** The score at which false positives and misses are nearest to equal. */
  eer_threshold: number;
  /** Of the scores. */
  roc: Roc;
}

/** The mean over training seeds with the lowest and highest; of one seed its 95 % interval over images. */
export interface Spread {
  /** Mean over seeds. */
  value: number;
  /** Lowest seed, or lower end of the interval. */
  low: number;
  /** Highest seed, or upper end of the interval. */
  high: number;
  /** Training seeds. */
  seeds: number;
}

/** Scores of every layer, so that a slider can move thresholds in the browser. */
export interface Thresholds {
  available: true;
  /** The false-alarm rate of the calibrated rule. */
  rate: number;
  /** The focus attack. */
  tuned_on: string;
  /** The focus attack first, then in the study's order. */
  against: Against[];
  /** One per layer, for the focus attack. */
  accuracy: AccuracyOverK[];
  /** What the rules rest on, in one sentence. */
  note: string;
}

/** Every epoch of a training. */
export interface TrainingHistory {
  /** In order. */
  epochs: Epoch[];
}

/** What else excites a unit: the training images with its highest activations, and its quantiles over all. */
export interface Unit {
  available: true;
  /** Where it is. */
  layer: string;
  /** Its place in the flattened layer, from 0. */
  unit: number;
  /** Training images that the quantiles are over: the correctly classified ones. */
  indexed: number;
  /** 0, 5, 25, 50, 75, 95, 100 %. */
  quantiles: number[];
  /** Highest activation first. */
  top: Exciting[];
}

/**
 * One unit (value of a layer): both activations, and its share of the distance.
 *
 * `layer` is where the unit is: in the composed layer, one of the layers that it joins, with scaled activations.
 */
export interface UnitChange {
  /** Where the unit is. */
  layer: string;
  /** Its place in the flattened layer, from 0. */
  unit: number;
  /** Activation of the first image. */
  a: number;
  /** Activation of the second image. */
  b: number;
  /** Of the distance, 0 to 1. */
  share: number;
}

/** A norm and budget at which FGSM ran and PGD did not: an FGSM number alone says little. */
export interface Unpaired {
  /** Of the budget. */
  norm: string;
  /** The budget in that norm. */
  eps: number | null;
}

/** An uploaded image, made to fit the classifier. It is not kept: the browser holds it from now on. */
export interface Uploaded {
  /** The image, as in Ask. */
  pixels: string;
  /** Width and height before. */
  was: [number, number];
  /** Of the file, one of LivePage.formats. */
  format: string;
  /** What was done to it, in words. */
  rule: string;
  /** What was changed beyond the rule, one sentence each. */
  notes: string[];
}

/**
 * Paper 2's utility (Eq. 34) of a row, here (1 - weight) clean + weight robust, under three readings.
 *
 * The best of each reading is marked; under "ensemble" only a row that the audit lets stand can be.
 */
export interface Utility {
  /** The network. */
  net: string;
  /** The row of [defences]. */
  row: string;
  /** Of the accuracy under attack, 0 to 1. */
  weight: number;
  /** Of the paper's own figures. */
  claimed: number;
  /** Of ours, mask on at test, one FGSM step without expectation. */
  naive: number;
  /** Of ours, mask off at test, under the ensemble. */
  ensemble: number;
  /** Whether the audit, mask off, lets it stand; null: a study without audits. */
  shown: boolean | null;
  /** Whether the audit with the mask on does; null: there was none. */
  shown_on: boolean | null;
  /** No row of the network has more. */
  best_claimed: boolean;
  /** No row of the network has more. */
  best_naive: boolean;
  /** No row that the audit lets stand has more. */
  best_ensemble: boolean;
}

/** Hardened minus plain model on the same images under one attack, with its 95 % bootstrap interval. */
export interface Versus {
  /** Its name in tables. */
  attack: string;
  /** Images. */
  n: number;
  /** Training seeds that are compared. */
  seeds: number;
  /** Of accuracies. */
  difference: Estimate;
}

/** All attacks of one norm and budget, controls aside: the strongest, and what none of them broke. */
export interface WorstCase {
  /** Of the budget. */
  norm: string;
  /** The budget in that norm. */
  eps: number;
  /** Attacked images: those classified correctly before. */
  n: number;
  /** The attack that broke most; of equals the one named first. */
  strongest: string;
  /** What the strongest leaves, of all images judged. */
  robust_accuracy: Rate;
  /** Robust accuracy under all: of all images judged, those right that none broke. */
  together: Rate;
  /** As `together`, but of the attacked images. */
  left_standing: Rate;
  /** Those that are put together. */
  attacks: string[];
}

/** Every address under api/; `addressOf` in client.ts fills the places in braces. */
export const PATHS = {
  RUN: "runs/{run}",
  GALLERY: "runs/{run}/gallery",
  COLUMN: "runs/{run}/gallery/{detector}",
  ATLAS: "runs/{run}/atlas/{page}.png",
  TRAINING: "runs/{run}/training/{index}.png",
  UNIT: "runs/{run}/units/{layer}/{unit}",
  ROBUSTNESS: "runs/{run}/robustness",
  DEFENCES: "runs/{run}/defences",
  DETECTORS: "runs/{run}/detectors",
  THRESHOLDS: "runs/{run}/thresholds",
  SCORES: "runs/{run}/thresholds/{attack}/scores.f32",
  MAPS: "runs/{run}/maps",
  MAP: "runs/{run}/maps/{map}",
  POINTS: "runs/{run}/maps/{map}/points.f32",
  COMMAND: "commands/{command}.html",
  AGAINST: "runs/{run}/against/{other}",
  LIVE: "runs/{run}/live",
  JUDGE: "runs/{run}/live/judge",
  JOBS: "runs/{run}/live/attacks",
  UPLOAD: "runs/{run}/live/upload",
  JOB: "live/{job}",
  EVENTS: "live/{job}/events",
  EXAMPLE: "runs/{run}/examples/{example}",
  CLEAN: "runs/{run}/examples/{example}/clean.png",
  ADVERSARIAL: "runs/{run}/examples/{example}/adversarial.png",
  PIXELS: "runs/{run}/examples/{example}/pixels.f32",
  FACES: "runs/{run}/examples/{example}/neighbours/{layer}/{metric}.png",
  NEIGHBOURS: "runs/{run}/examples/{example}/neighbours/{layer}/{metric}",
  GRAPH: "runs/{run}/examples/{example}/graph/{layer}/{metric}/{side}",
  DIFFERENCE: "runs/{run}/examples/{example}/difference/{layer}/{metric}/{a}/{b}",
  VECTORS: "runs/{run}/examples/{example}/vectors/{layer}/{a}/{b}.f32",
  ATTRIBUTIONS: "runs/{run}/examples/{example}/attributions",
  ATTRIBUTION_VALUES: "runs/{run}/examples/{example}/attributions.f32",
  ATTACKABILITY: "runs/{run}/examples/{example}/attackability",
} as const;

// GET    /api  Home
// GET    /api/commands/{command}.html  bytes
// GET    /api/runs/{run}/against/{other}  Paired | Missing
// GET    /api/runs/{run}  RunPage | Missing
// GET    /api/runs/{run}/gallery  Gallery | Missing
// GET    /api/runs/{run}/gallery/{detector}  DetectorColumn | Missing
// GET    /api/runs/{run}/atlas/{page}.png  bytes
// GET    /api/runs/{run}/training/{index}.png  bytes
// GET    /api/runs/{run}/examples/{example}  ExamplePage | Missing
// GET    /api/runs/{run}/examples/{example}/clean.png  bytes
// GET    /api/runs/{run}/examples/{example}/adversarial.png  bytes
// GET    /api/runs/{run}/examples/{example}/pixels.f32  bytes
// GET    /api/runs/{run}/examples/{example}/neighbours/{layer}/{metric}.png  bytes
// GET    /api/runs/{run}/examples/{example}/neighbours/{layer}/{metric}  ExampleNeighbours | Missing
// GET    /api/runs/{run}/examples/{example}/graph/{layer}/{metric}/{side}  Graph | Missing
// GET    /api/runs/{run}/examples/{example}/difference/{layer}/{metric}/{a}/{b}  ActivationDifference | Missing
// GET    /api/runs/{run}/examples/{example}/vectors/{layer}/{a}/{b}.f32  bytes
// GET    /api/runs/{run}/examples/{example}/attributions  Attributions | Missing
// GET    /api/runs/{run}/examples/{example}/attributions.f32  bytes
// GET    /api/runs/{run}/examples/{example}/attackability  Attackability | Missing
// GET    /api/runs/{run}/units/{layer}/{unit}  Unit | Missing
// GET    /api/runs/{run}/robustness  Robustness | Missing
// GET    /api/runs/{run}/defences  Defences | Missing
// GET    /api/runs/{run}/detectors  Detectors | Missing
// GET    /api/runs/{run}/thresholds  Thresholds | Missing
// GET    /api/runs/{run}/thresholds/{attack}/scores.f32  bytes
// GET    /api/runs/{run}/maps  Maps | Missing
// GET    /api/runs/{run}/maps/{map}  Projection | Missing
// GET    /api/runs/{run}/maps/{map}/points.f32  bytes
// GET    /api/runs/{run}/live  LivePage | Missing
// POST   /api/runs/{run}/live/judge  Judged | Missing
// POST   /api/runs/{run}/live/attacks  Job | Missing
// GET    /api/live/{job}/events  JobStep
// DELETE /api/live/{job}  bytes
// POST   /api/runs/{run}/live/upload  Uploaded
