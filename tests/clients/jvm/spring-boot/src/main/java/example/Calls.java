// src/main/java/example/Calls.java
package example;

import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@RestController
class Calls {
    @GetMapping({"/v1/whoami", "/v1/admin/whoami", "/v2/whoami"})
    String whoami(@AuthenticationPrincipal Jwt token) {
        return token.getClaimAsString("client_id");
    }
}
