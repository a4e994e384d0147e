// Indicators at each close, as `crates/indicators` computes them; undefined for want of closes before. Pure.

/** Candles of the moving average, and of the index. */
export const SMA_PERIOD = 20;
export const RSI_PERIOD = 14;

/** The indicators of one candle. */
export interface Indicators {
  sma: number | undefined;
  rsi: number | undefined;
}

/** Simple moving average of 20 closes and Wilder's relative strength index of 14, in the order of the closes. */
export function indicators(closes: readonly number[]): Indicators[] {
  const rsi = rsiOf(closes);
  return smaOf(closes).map((sma, place) => ({ sma, rsi: rsi[place] }));
}

/** The mean of the last closes. The sum is taken anew for each, so that rounding errors do not add up. */
function smaOf(closes: readonly number[]): (number | undefined)[] {
  return closes.map((_, place) => {
    if (place + 1 < SMA_PERIOD) return undefined;
    let sum = 0;
    for (let at = place + 1 - SMA_PERIOD; at <= place; at += 1) sum += closes[at] ?? Number.NaN;
    return Number.isFinite(sum) ? sum / SMA_PERIOD : undefined;
  });
}

/**
 * 100 * G / (G + L), where G and L are gains and losses from close to close, smoothed with the weight 1 / period and begun with
 * the mean of the first `period` changes (Wilder, 1978). 50 where there is neither a gain nor a loss.
 */
function rsiOf(closes: readonly number[]): (number | undefined)[] {
  let [count, gain, loss] = [0, 0, 0];
  let before: number | undefined;
  return closes.map((close) => {
    if (!Number.isFinite(close)) {
      [count, gain, loss, before] = [0, 0, 0, undefined];
      return undefined;
    }
    const change = before === undefined ? undefined : close - before;
    before = close;
    if (change === undefined) return undefined;
    count += 1;
    if (count <= RSI_PERIOD) {
      gain += Math.max(change, 0);
      loss += Math.max(-change, 0);
      if (count < RSI_PERIOD) return undefined;
      [gain, loss] = [gain / RSI_PERIOD, loss / RSI_PERIOD];
    } else {
      gain = (gain * (RSI_PERIOD - 1) + Math.max(change, 0)) / RSI_PERIOD;
      loss = (loss * (RSI_PERIOD - 1) + Math.max(-change, 0)) / RSI_PERIOD;
    }
    return gain + loss > 0 ? 100 * (gain / (gain + loss)) : 50;
  });
}
