// The design tokens as the chart needs them: its colours are drawn on a canvas, which knows no custom properties.

const probe = document.createElement("i");

/** A colour of `tokens.css` as `rgb(…)`, also where forced colours make it one of the system's; `alpha` makes it translucent. */
export function colour(name: string, alpha = 1): string {
  if (!probe.isConnected) document.body.append(probe);
  probe.hidden = true;
  probe.style.setProperty("forced-color-adjust", "none");
  probe.style.color = `var(${name})`;
  const opaque = getComputedStyle(probe).color;
  return alpha === 1 ? opaque : opaque.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);
}

/** A font of `tokens.css`. */
export function font(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
