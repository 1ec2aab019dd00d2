// JavaScript whose calls are known: run -> f1 -> ... -> f8. Loops in each, so that their optimized
// code is what runs; nothing is inlined (--no-turbo-inlining).
let sink = 0;

function f8(n) {
  let sum = 0;
  for (let i = 0; i < 400; i++) sum = (sum * 31 + i * n) | 0;
  return sum;
}
function f7(n) {
  let sum = 0;
  for (let i = 0; i < 5; i++) sum += f8(n + i) % 7;
  return sum;
}
function f6(n) {
  let sum = 0;
  for (let i = 0; i < 3; i++) sum += f7(n + i) % 5;
  return sum;
}
function f5(n) {
  return f6(n) + 5;
}
function f4(n) {
  let sum = 0;
  for (let i = 0; i < 3; i++) sum += f5(n + i) % 3;
  return sum;
}
function f3(n) {
  return f4(n) + 3;
}
function f2(n) {
  let sum = 0;
  for (let i = 0; i < 40; i++) sum = (sum + i * n) % 1001;
  return f3(n) + sum;
}
function f1(n) {
  return f2(n) + 1;
}
function run() {
  const until = Date.now() + 20;
  for (let n = 0; Date.now() < until; n++) sink += f1(n);
  setImmediate(run);
}
run();
