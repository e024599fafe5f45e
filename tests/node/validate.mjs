// Reads HTML pages on standard input, NUL between them; prints a JSON list of what is wrong.
import { HtmlValidate, StaticConfigLoader } from 'html-validate';

const rules = {
  root: true,
  extends: ['html-validate:standard', 'html-validate:a11y'],
  rules: {
    // Style, not validity: templates leave blanks and write void elements as they like.
    'no-trailing-whitespace': 'off',
    'void-style': 'off',
    'attribute-boolean-style': 'off',
    'attr-quotes': 'off',
    'doctype-style': 'off',
    // An embedded browser that is years old needs them (type="submit" is always said).
    'no-redundant-role': 'off',
  },
};

let input = '';
for await (const chunk of process.stdin) input += chunk;
const checker = new HtmlValidate(new StaticConfigLoader(rules));
const faults = [];
for (const [page, text] of input.split('\0').entries()) {
  const report = await checker.validateString(text);
  for (const { ruleId, message, line, column } of report.results.flatMap((r) => r.messages)) {
    faults.push({ page, rule: ruleId, message, line, column });
  }
}
process.stdout.write(JSON.stringify(faults) + '\n');
