// Every page starts here; the body names it. Of the styles, those for narrow and wide screens and for forced colours come last.

import "./tokens.css";
import "./frame.css";
import "./board.css";
import "./symbol.css";
import "./tables.css";
import "./dashboard.css";
import "./system.css";
import "./account.css";
import "./news.css";
import "./screens.css";
import "./forced.css";
import * as account from "./account";
import * as board from "./board";
import * as clock from "./clock";
import * as dashboard from "./dashboard";
import * as latency from "./latency";
import * as search from "./search";
import * as symbol from "./symbol";
import * as system from "./system";
import * as theme from "./theme";
import { localise } from "./times";

theme.start();
search.start();
localise(document);
void clock.keep();
latency.report();

switch (document.body.dataset["page"]) {
  case "account":
    account.start();
    break;
  case "board":
    board.start();
    break;
  case "dashboard":
    dashboard.start();
    break;
  case "symbol":
    void symbol.start();
    break;
  case "system":
    system.start();
    break;
  default:
}
