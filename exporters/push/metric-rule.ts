// A rule of the table of names.

export type AttributeValues = Readonly<Record<string, string | number | boolean>>;

/** How the values of some keys of a stream leave. Rules of a stream are tried in their order; the
 *  first whose `when` holds is taken, and with `more` those after it as well. */
export interface MetricRule {
  readonly stream: string;
  /** Field -> values of it that the rule is for. */
  readonly when?: Readonly<Record<string, readonly string[]>>;
  /** For cgroups that are containers themselves, not what is in or above them. */
  readonly onlyContainers?: boolean;
  readonly more?: boolean;
  readonly name: string;
  /** Prometheus's name, without unit, where the rules would make one that it does not allow. */
  readonly prometheus?: string;
  /** UCUM. Of a time always s; by default from the stream's own unit. */
  readonly unit?: string;
  /** Field -> attribute, with other words for its values; '' leaves it out. */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly words?: Readonly<Record<string, string>>;
  readonly constant?: AttributeValues;
  /** Values are subtracted. */
  readonly isNegative?: boolean;
  readonly description: string;
}
