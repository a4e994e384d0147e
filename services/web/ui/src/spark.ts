// The sparkline of a tile. The server draws the first one; here it is moved with the price.

import type { Quote, Spark } from "./events";

const WIDTH = 100;
const HEIGHT = 32;
const MAX_POINTS = 90;

export class Sparkline {
  private closes: number[] = [];
  private pointMs = 60_000;
  private lastPoint = 0;

  constructor(
    private readonly line: Element,
    private readonly area: Element | undefined,
  ) {}

  set(spark: Spark): void {
    this.closes = spark.closes.slice();
    this.pointMs = spark.point_seconds * 1000;
    this.lastPoint = spark.last_point;
    this.draw();
  }

  move(quote: Quote): void {
    if (this.closes.length === 0) return;
    const point = Math.floor(Date.parse(quote.timestamp) / this.pointMs);
    if (point > this.lastPoint) {
      this.closes.push(quote.price);
      this.lastPoint = point;
      if (this.closes.length > MAX_POINTS) this.closes.shift();
    } else if (point === this.lastPoint) {
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
