// How the page says sizes, times and states.

/** pixels says a size, such as 640 × 480. */
export const pixels = (width, height) => `${width} × ${height}`;

/** count says how many things there are, such as 2 images. */
export const count = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;

/** bytes says the length of a file in decimal units. */
export function bytes(n) {
  if (n < 1000) return `${n} bytes`;
  const units = ["kB", "MB", "GB", "TB"];
  let unit = -1;
  for (; n >= 1000 && unit < units.length - 1; unit++) n /= 1000;
  return `${n < 10 ? +n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

/** megapixels says an area. */
export const megapixels = (n) => (n < 1e6 ? `${n} pixels` : `${+(n / 1e6).toFixed(n < 1e7 ? 1 : 0)} MP`);

/** noiseLevel says a gamma, small ones with two digits that count. */
export const noiseLevel = (gamma) => (gamma > 0 && gamma < 0.01 ? `${+gamma.toPrecision(2)}` : gamma.toFixed(3));

/** ago says how long a time is past, roughly. */
export function ago(time, now = Date.now()) {
  const minutes = Math.max(0, now - Date.parse(time)) / 60000;
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  if (minutes < 60 * 24) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(time).toLocaleDateString();
}

/** duration says a span in seconds. */
export function duration(seconds) {
  if (seconds < 90) return `${+seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

const FINISHED = new Set(["completed", "cancelled", "discarded"]);

/** finished tells whether a job stays as it is. */
export const finished = (job) => FINISHED.has(job.state);

/** state says in what state a job is; ahead counts the waiting jobs before it. */
export function state(job, ahead = 0) {
  switch (job.state) {
    case "running": return job.progress ? steps(job.progress) : "starting";
    case "completed": return "done";
    case "cancelled": return "cancelled";
    case "discarded": return "failed";
    case "retryable": return "waits for another try";
    case "scheduled": return "waits for its time";
    default: return ahead === 0 ? "next in line" : `waits, ${ahead} before it`;
  }
}

/** steps says how far a refinement has come, such as draw 2 of 4, step 3 of 10. */
export function steps(p) {
  const parts = [];
  if (p.draws > 1) parts.push(`draw ${p.draw} of ${p.draws}`);
  if (p.passes > 1) parts.push(`pass ${p.pass} of ${p.passes}`);
  parts.push(`step ${p.step} of ${p.steps}`);
  return parts.join(", ");
}

/** outputSize is the size of the result that settings ask for, before the server rounds it. */
export function outputSize(width, height, settings) {
  const scale = settings.width ? settings.width / width : settings.scale;
  return { width: Math.round(width * scale), height: Math.max(1, Math.round(height * scale)) };
}

/** find returns the result of a job with this name. */
export const find = (job, name) => (job.results ?? []).find((object) => object.name === name);
