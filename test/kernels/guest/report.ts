// What a guest tells its host: one line of JSON an event, over the second serial line.

export type Report =
  | { readonly kind: 'figure'; readonly text: string }
  | { readonly kind: 'pass'; readonly name: string; readonly seconds: number }
  | { readonly kind: 'skip'; readonly name: string; readonly reason: string }
  | { readonly kind: 'fail'; readonly name: string; readonly error: string }
  | { readonly kind: 'end' };

export const reportLine = (report: Report): string => `${JSON.stringify(report)}\n`;

/** **Errors**: throws on a line that is cut or foreign. */
export function parseReports(text: string): Report[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as Report);
}
