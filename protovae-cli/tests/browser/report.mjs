// A report in headless Chromium, on a phone and on a desk: no console message, no request, no script, nothing wider than the
// screen, everything reached by keyboard, dark and print as well. Writes a picture of each.
//
//   apt-get install chromium && npm install playwright-core
//   node protovae-cli/tests/browser/report.mjs runs/mnist/report.html [FOLDER FOR PICTURES]
import { chromium } from "playwright-core";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [page_path, folder = "screens"] = process.argv.slice(2);
const address = pathToFileURL(resolve(page_path)).href;
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const troubles = [];
for (const [name, width, height, options] of [
  ["phone", 390, 844, {}],
  ["desk", 1440, 900, {}],
  ["phone-dark", 390, 844, { colorScheme: "dark" }],
  ["desk-dark", 1440, 900, { colorScheme: "dark" }],
]) {
  const context = await browser.newContext({ viewport: { width, height }, ...options });
  const page = await context.newPage();
  const trouble = (text) => troubles.push(`${name}: ${text}`);
  page.on("console", (message) => trouble(`console: ${message.text()}`));
  page.on("pageerror", (error) => trouble(`error: ${error}`));
  page.on("dialog", (dialog) => { trouble(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    const url = request.url();
    if (url !== address && !url.startsWith("data:")) trouble(`request: ${url}`);
  });
  await page.goto(address);
  await page.waitForTimeout(300);
  const found = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth - window.innerWidth,
    images: [...document.images].length,
    broken: [...document.images].filter((image) => !image.complete || image.naturalWidth === 0).length,
    unnamed: [...document.images].filter((image) => !image.hasAttribute("alt")).length,
    scripts: document.scripts.length,
    handlers: [...document.querySelectorAll("*")].filter((each) => [...each.attributes].some((a) => a.name.startsWith("on"))).length,
    dead: [...document.querySelectorAll("a[href^='#']")].filter((a) => !document.getElementById(a.getAttribute("href").slice(1))).length,
  }));
  if (found.wide > 0) trouble(`${found.wide} pixels wider than the screen`);
  for (const key of ["broken", "unnamed", "scripts", "handlers", "dead"]) if (found[key]) trouble(`${key}: ${found[key]}`);
  // Everything that can be opened or scrolled is reached with the tabulator.
  const wanted = await page.locator("a[href], summary, [tabindex='0']").count();
  const reached = new Set();
  for (let step = 0; step < wanted + 2; step += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => [...document.querySelectorAll("*")].indexOf(document.activeElement)));
  }
  if (reached.size < wanted) trouble(`only ${reached.size} of ${wanted} places are reached by keyboard`);
  await page.screenshot({ path: `${folder}/${name}.png` });
  await page.screenshot({ path: `${folder}/${name}-whole.png`, fullPage: true });
  if (name === "desk") await page.pdf({ path: `${folder}/print.pdf`, format: "A4", printBackground: true });
  console.log(name, JSON.stringify(found));
  await context.close();
}
await browser.close();
for (const trouble of troubles) console.error(trouble);
console.log(troubles.length === 0 ? "no trouble" : `${troubles.length} troubles`);
process.exit(troubles.length === 0 ? 0 : 1);
