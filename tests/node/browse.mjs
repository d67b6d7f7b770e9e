// Opens pages in Chromium, as each view asks, and prints what was seen as one JSON object a line: what left the page, what the
// console said, what the policy refused, what ran, how wide it is, and how many rows a search leaves.
import { chromium } from "playwright-core";

const { executable, page: address, views } = JSON.parse(process.argv[2]);
const quiet = ["quic", "background-networking", "component-update", "sync", "gpu"].map((name) => `--disable-${name}`);
const browser = await chromium.launch({
  executablePath: executable, args: ["--no-sandbox", "--no-first-run", ...quiet],
});

const visit = async ({ width, height, dark, script = true, words, outcome, picture }) => {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? "dark" : "light", javaScriptEnabled: script,
  });
  const page = await context.newPage();
  const seen = { requests: [], console: [], refused: [], dialogs: [] };
  page.on("request", (request) => seen.requests.push(request.url().slice(0, 80)));
  page.on("console", (message) => seen.console.push(message.text()));
  page.on("pageerror", (error) => seen.console.push(String(error)));
  page.on("dialog", (dialog) => { seen.dialogs.push(dialog.message()); return dialog.dismiss(); });
  await page.exposeFunction("refused", (what) => seen.refused.push(what));
  await page.addInitScript(() => addEventListener("securitypolicyviolation", (event) =>
    window.refused(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`)));
  await page.goto(address, { waitUntil: "load" });
  if (words !== undefined) await page.fill("#words", words);
  if (outcome !== undefined) await page.selectOption("#outcome", outcome);
  if (picture) await page.screenshot({ path: picture, fullPage: true, animations: "disabled" });
  const read = (what) => page.evaluate(what);
  seen.text = await page.innerText("body");
  seen.scheme = await read(() => getComputedStyle(document.body).backgroundColor);
  seen.overflow = await read(() => document.documentElement.scrollWidth - window.innerWidth);
  seen.pwned = await read(() => Object.keys(window).filter((name) => name.startsWith("pwned")));
  seen.scripts = await read(() => document.scripts.length);
  seen.markup = await read(() => [...document.querySelectorAll("#rows :is(td, caption) *, .fail *, h1 *")].map(
    (one) => one.localName).filter((name) => !["header", "h3", "p", "dl", "dt", "dd", "bdi", "div", "span"].includes(name)));
  seen.pictures = await read(() => [...document.images].map((one) => [one.naturalWidth, one.naturalHeight]));
  seen.sounds = await read(() => [...document.querySelectorAll("audio")].map((one) => one.duration));
  seen.rows = await read(() => [...document.querySelectorAll("#rows tbody tr")].filter((row) => row.checkVisibility()).length);
  seen.form = await page.isVisible("#filter").catch(() => false);
  await context.close();
  return seen;
};

for (const view of views) console.log(JSON.stringify(await visit(view)));
await browser.close();
