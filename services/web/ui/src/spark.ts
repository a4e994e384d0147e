// The line of the day on a tile. The server draws the first one; this one moves with the price.

import type { Quote, Spark } from "./live";

const WIDTH = 100;
const HEIGHT = 32;
const MAX_POINTS = 90;

export class Sparkline {
  private closes: number[] = [];
  private bucketMs = 60_000;
  private lastBucket = 0;

  constructor(
    private readonly line: Element,
    private readonly area: Element | undefined,
  ) {}

  set(spark: Spark): void {
    this.closes = spark.closes.slice();
    this.bucketMs = spark.bucket_seconds * 1000;
    this.lastBucket = spark.last_bucket;
    this.draw();
  }

  move(quote: Quote): void {
    if (this.closes.length === 0) return;
    const bucket = Math.floor(Date.parse(quote.timestamp) / this.bucketMs);
    if (bucket > this.lastBucket) {
      this.closes.push(quote.price);
      this.lastBucket = bucket;
      if (this.closes.length > MAX_POINTS) this.closes.shift();
    } else if (bucket === this.lastBucket) {
      this.closes[this.closes.length - 1] = quote.price;
    }
    this.draw();
  }

  private draw(): void {
    const count = this.closes.length;
    if (count < 2) return;
    const low = Math.min(...this.closes);
    const high = Math.max(...this.closes);
    const points = this.closes.map((close, index) => {
      const x = (WIDTH * index) / (count - 1);
      const y = high > low ? 1 + ((HEIGHT - 2) * (high - close)) / (high - low) : HEIGHT / 2;
      return `${x.toFixed(1)} ${y.toFixed(1)}`;
    });
    const path = `M${points.join("L")}`;
    if (this.line.getAttribute("d") === path) return;
    this.line.setAttribute("d", path);
    this.area?.setAttribute("d", `${path}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`);
  }
}
