// Reads one HTML page on standard input; prints a JSON list of what is wrong with it.
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

let page = '';
for await (const chunk of process.stdin) page += chunk;
const report = await new HtmlValidate(new StaticConfigLoader(rules)).validateString(page);
const faults = report.results.flatMap((result) => result.messages)
  .map(({ ruleId, message, line, column }) => ({ rule: ruleId, message, line, column }));
process.stdout.write(JSON.stringify(faults) + '\n');
