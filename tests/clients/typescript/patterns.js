// Compiles every `pattern` of an OpenAPI document as ECMAScript does, and prints how many there are.
import { readFileSync } from "node:fs";

let count = 0;

function compile(value) {
  if (typeof value !== "object" || value === null) return;
  if (typeof value.pattern === "string") {
    new RegExp(value.pattern, "u");
    count += 1;
  }
  Object.values(value).forEach(compile);
}

compile(JSON.parse(readFileSync(process.argv[2], "utf8")));
console.log(count);
