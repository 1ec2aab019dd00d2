// Names are foreign text: a process or a symbol may be called anything. What reaches a line or a picture goes through
// here first.

// Control characters (line ends too), halves of surrogate pairs, and the marks that make text run backwards.
const unprintable = /[\p{Cc}\p{Surrogate}\u2028-\u202e\u2066-\u2069\ufffe\uffff]/gu;

/** The text with U+FFFD for each character that would break a line, an XML file or the reading order. */
export function printable(text: string): string {
  return text.replace(unprintable, '\ufffd');
}

const xmlEntities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for an XML element or a quoted attribute. */
export function escapeXml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (character) => xmlEntities[character]!);
}

/** 1234567 -> 1,234,567. */
export function groupDigits(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}
