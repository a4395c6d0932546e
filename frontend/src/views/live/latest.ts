/** One question at a time, and always the latest: what was asked meanwhile is asked as soon as the answer is there. */

export class Latest<Q, A> {
  #waiting: { question: Q } | null = null;
  #busy = false;
  #stopped = false;

  constructor(
    readonly ask: (question: Q) => Promise<A>,
    readonly tell: (answer: A, question: Q) => void,
    readonly fail: (reason: unknown) => void,
  ) {}

  put(question: Q): void {
    this.#waiting = { question };
    if (!this.#busy) void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#waiting = null;
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#waiting) {
      const { question } = this.#waiting;
      this.#waiting = null;
      try {
        const answer = await this.ask(question);
        if (!this.#stopped) this.tell(answer, question);
      } catch (reason) {
        if (!this.#stopped) this.fail(reason);
      }
    }
    this.#busy = false;
  }
}
